"""The program with the moment between commit and answer widened, or turned around.

`early` has a seeded bug: answers go out before their commit, on a disk so slow that a
kill hits the moment. `late` is the slow disk without the bug: the slowness by itself is
no fault. `stuck` commits, and then never lets an answer go. A number kills the program
just before that statement of its writer, counted from the first commit on.
"""

import asyncio
import itertools
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence

from proxy.cli import main
from storage.recorder import Recorder, _Entry
from storage.records import Exchange
from storage.writer import Item, Tally, Writer

SLOW_S = 0.03


async def keep_early(self: Recorder, exchange: Exchange) -> bool:
    """Say that an exchange is on disk as soon as it waits for that."""
    self._put(_Entry(exchange, len(exchange.request) + len(exchange.answer), None))
    return True


keep = Recorder.keep


async def keep_and_stay(self: Recorder, exchange: Exchange) -> bool:
    """Commit, and do not come back."""
    await keep(self, exchange)
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


def seed(bug: str) -> None:
    """Put a bug in, by its name."""
    if bug == "stuck":
        Recorder.keep = keep_and_stay  # type: ignore[method-assign]  # the long moment
        return
    if bug.isdecimal():
        Writer.write = write_until(int(bug))  # type: ignore[method-assign, assignment]  # the end
        return
    Writer.write = write_slowly  # type: ignore[method-assign]  # the slow disk
    if bug == "early":
        Recorder.keep = keep_early  # type: ignore[method-assign]  # the bug


if __name__ == "__main__":
    seed(sys.argv.pop(1))
    main()
