"""The program with a seeded bug, or with one moment widened: each must be found out.

`early` lets answers go out before their commit, on a disk so slow that a kill hits the
moment. `late` is the slow disk without the bug: the slowness by itself is no fault.
`blocked` stops the event loop now and then, which is none either.
`stuck` commits, and then never lets an answer go. A number kills the program just
before that statement of its writer, counted from the first commit on. The others break
one promise each: the recorder, the relay, the edit, the counters.
"""

import asyncio
import itertools
import math
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from proxy import headers, seal
from proxy.additions import Additions
from proxy.app import App
from proxy.cli import main
from proxy.errors import Refusal
from proxy.relay import Relay
from proxy.settings import Settings
from proxy.upstream.errors import UpstreamError
from proxy.upstream.reply import Reply
from proxy.upstream.send import Upstream
from storage.counters import Ledger
from storage.recorder import Recorder, _Entry, item_id
from storage.records import Exchange, HeaderPairs, State
from storage.spool import Frame, Spool
from storage.writer import Item, Tally, Writer
from tests.crash.oracle import RECOVERY_S

SLOW_S = 0.03


async def keep_early(
    self: Recorder, exchange: Exchange, *, most_s: float = math.inf
) -> bool:
    """Say that an exchange is on disk as soon as it waits for that."""
    self._put(_Entry(exchange, len(exchange.request) + len(exchange.answer), None))
    return True


keep = Recorder.keep


async def keep_and_stay(
    self: Recorder, exchange: Exchange, *, most_s: float = math.inf
) -> bool:
    """Commit, and do not come back."""
    await keep(self, exchange, most_s=most_s)
    await asyncio.Event().wait()
    return True


write = Writer.write


def write_slowly(self: Writer, items: Sequence[Item], tally: Tally) -> None:
    """Commit as on a slow disk."""
    time.sleep(SLOW_S)
    write(self, items, tally)


def write_until(last: int) -> Callable[[Writer, Sequence[Item], Tally], None]:
    """Return a `Writer.write` that is killed before statement `last`."""
    numbers = itertools.count(1)

    def count(_: str) -> None:
        if next(numbers) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def write_on(self: Writer, items: Sequence[Item], tally: Tally) -> None:
        connection: sqlite3.Connection = self._connection
        connection.set_trace_callback(count)
        write(self, items, tally)

    return write_on


async def cut_clean(self: Relay, failure: Refusal | None) -> None:
    """End a broken answer as if it were whole."""
    del failure
    await self.release()


def state_well(*_: object, **__: object) -> tuple[State, None]:
    """Call every exchange complete."""
    return "complete", None


pass_on = Relay._pass


async def pass_changed(self: Relay, chunk: bytes) -> None:
    """Change a word on the way to the client, behind the tape's back."""
    await pass_on(self, chunk.replace(b"delta", b"Delta"))


onto = Additions.onto


def onto_changed(self: Additions, *body: Any) -> bytes:
    """Write a member anew where another is added."""
    return onto(self, *body).replace(b'"model": "m"', b'"model":"m "')


send = Upstream.send


async def send_again(self: Upstream, *request: Any, **more: Any) -> Reply:
    """Ask once more when the upstream leaves without an answer."""
    try:
        return await send(self, *request, **more)
    except UpstreamError:
        return await send(self, *request, **more)


def write_some(self: Writer, items: Sequence[Item], tally: Tally) -> None:
    """Lose each fifth exchange, as if it were written."""
    kept = [item for item in items if not item_id(item).endswith(("0", "1", "2"))]
    write(self, kept, tally)


accept = Ledger.accept


def accept_twice(self: Ledger, name: str) -> None:
    """Count one more than there is."""
    accept(self, name)
    self._accepted += 1


def recorded_all(pairs: Iterable[tuple[bytes, bytes]]) -> HeaderPairs:
    """Keep every header, with the key."""
    return tuple(pairs)


HOARD: list[int] = []


def accept_and_hoard(self: Ledger, name: str) -> None:
    """Open a file for each exchange, and forget it."""
    accept(self, name)
    HOARD.append(os.open(os.devnull, os.O_RDONLY))


def write_for_everybody(self: Writer, items: Sequence[Item], tally: Tally) -> None:
    """Write each finished exchange down to one and the same project."""
    given = [
        msgspec.structs.replace(item, project="everybody")
        if isinstance(item, Exchange)
        else item
        for item in items
    ]
    write(self, given, tally)


BLOCKED_S = 1.0


def accept_and_block(self: Ledger, name: str) -> None:
    """Block the event loop at every thirtieth exchange."""
    accept(self, name)
    if not self._accepted % 30:
        time.sleep(BLOCKED_S)


def write_wrong_hash(self: Writer, items: Sequence[Item], tally: Tally) -> None:
    """Write digests that are those of something else."""
    write(
        self,
        [
            msgspec.structs.replace(item, answer_sha256=bytes(32))
            if isinstance(item, Exchange) and item.state == "incomplete"
            else item
            for item in items
        ],
        tally,
    )


def start_late(self: App, *given: Any) -> None:
    """Take longer to start than a service may."""
    time.sleep(RECOVERY_S + 1)
    made(self, *given)


made = App.__init__


def append_nothing(_: Spool, frames: Sequence[Frame]) -> list[bool]:
    """Say that frames are on disk, and write none."""
    return [True] * len(frames)


BUGS: dict[str, tuple[object, str, object]] = {
    "early": (Recorder, "keep", keep_early),
    "clean end": (Relay, "cut", cut_clean),
    "all complete": (seal, "state_of", state_well),
    "changed answer": (Relay, "_pass", pass_changed),
    "changed request": (Additions, "onto", onto_changed),
    "sent again": (Upstream, "send", send_again),
    "lost rows": (Writer, "write", write_some),
    "counted twice": (Ledger, "accept", accept_twice),
    "key kept": (headers, "recorded", recorded_all),
    "one project": (Writer, "write", write_for_everybody),
    "hoarder": (Ledger, "accept", accept_and_hoard),
    "wrong hashes": (Writer, "write", write_wrong_hash),
    "forgetful spool": (Spool, "append", append_nothing),
    "closed in name": (Settings, "fails_closed", False),
    "late": (Writer, "write", write_slowly),
    "slow start": (App, "__init__", start_late),
    "blocked": (Ledger, "accept", accept_and_block),
    "stuck": (Recorder, "keep", keep_and_stay),
}
"""Each bug by its name: whose, which name, and what stands there instead."""


def seed(bug: str) -> None:
    """Put a bug in, by its name."""
    if bug.isdecimal():
        Writer.write = write_until(int(bug))  # type: ignore[method-assign, assignment]  # the end
        return
    if bug == "early":
        seed("late")  # a slow disk, so that a kill hits the moment
    owner, name, instead = BUGS[bug]
    getattr(owner, name)  # what is not there cannot be broken
    setattr(owner, name, instead)


if __name__ == "__main__":
    seed(sys.argv.pop(1))
    main()
