"""Gets batches to disk one way or the other: into the database, or else the spool.

What the spool took is brought into the database once that takes batches again.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import msgspec

from storage.commits import MIB, Commits, Outcome
from storage.counters import Ledger
from storage.engines.owner import Owner, create
from storage.records import Exchange
from storage.recovery import RecoveryReport
from storage.room import Room
from storage.spool import Frame, Spool
from storage.writer import Item

_log = logging.getLogger(__name__)

# After so many failures in a row it is no accident any more (reliability.md 2.5).
_FAILED_AFTER = 3


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the recorder may use of memory and disk.

    Shapes: `spool` is beside the database where it is None.
    """

    queue_bytes: int = 64 * MIB
    reserve_bytes: int = 256 * MIB
    spool_bytes: int = 512 * MIB
    spool: Path | None = None


DEFAULT_LIMITS = Limits()


class Safekeeping:
    """The disk side of one recorder, and the numbers that go to disk with each batch.

    Calls that write must not overlap: the recorder's one task makes them.
    """

    def __init__(self, commits: Commits, room: Room, spool: Spool) -> None:
        self.ledger = Ledger()
        self.commits = commits
        self.room = room
        self.spool = spool
        self.failures = 0  # batches that the database did not take
        self._despooled_to = 0  # how far the spool is in the database again
        self._spooling = False  # what the database did not take, the spool did

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, limits: Limits, *, clock: Callable[[], int]
    ) -> AsyncIterator[tuple[Self, RecoveryReport]]:
        """Own the file, see that there is room, and open all; the reserve goes at last.

        Raises: as `Recorder.open`.
        """
        path = create(path)
        beside = path.with_name(path.name + ".spool")
        with ExitStack() as stack:
            stack.enter_context(Owner(path))
            room = Room(
                path,
                reserve_bytes=limits.reserve_bytes,
                busy_bytes=limits.queue_bytes,
                monotonic_ns=time.monotonic_ns,
            )
            spool = Spool(limits.spool or beside, max_bytes=limits.spool_bytes)
            room.open(spool.path, max_spool_bytes=limits.spool_bytes)
            stack.callback(room.close)
            spool.open()
            stack.callback(spool.close)
            commits = Commits(
                path, room=room, monotonic_ns=time.monotonic_ns, clock=clock
            )
            report = await commits.open(spool, now_at=clock())
            yield cls(commits, room, spool), report

    @property
    def failed(self) -> bool:
        """Whether storage fails for good, as far as one can tell; still asked anew."""
        return self.commits.failures >= _FAILED_AFTER

    @property
    def stores(self) -> bool:
        """Whether the next batch would find its way to disk, by all that is known."""
        spools = self._spooling and self.spool.usable
        return spools or not self.commits.failing

    @property
    def has_spooled(self) -> bool:
        """Whether there is something to bring back, and a database that may take it."""
        return self.spool.size_bytes > 0 and not self.commits.failing

    async def write(self, items: list[Item]) -> list[Outcome]:
        """Write a batch; return for each item None, or why it is not in the database.

        Shapes: `spooled` ones are on disk, and will get there.
        """
        outcomes = await self._commit(items)
        if self.commits.failing:
            self.failures += 1
            await self._spool(items, outcomes)
        return outcomes

    def count(self, item: Item, outcome: Outcome) -> None:
        """Count what became of an item."""
        if not isinstance(item, Exchange):
            return
        if outcome is None:
            self.ledger.end(item)
        elif outcome == "spooled":
            self.ledger.spool(item.id)
        else:
            self.ledger.lose(item.id, outcome)

    async def despool(self, *, clock: Callable[[], int]) -> None:
        """Bring some megabytes of the spool into the database, where both can."""
        part = await asyncio.to_thread(self.spool.read, self._despooled_to)
        items = [frame.exchange for frame in part.frames]
        ours = [item for item in items if self.ledger.is_spooled(item.id)]
        lacking = await self.commits.missing(ours)
        if lacking is None:
            return
        outcomes = await self._commit([*lacking])
        if self.commits.failing:
            return
        wrote = {item.id: told for item, told in zip(lacking, outcomes, strict=True)}
        for item in ours:
            self.ledger.unspool(item.id)
            self.count(item, wrote.get(item.id))
        self._despooled_to = part.next_at
        if part.torn or part.next_at >= self.spool.size_bytes:
            await self._empty(torn=part.torn, now_at=clock())

    async def _commit(self, items: list[Item]) -> list[Outcome]:
        ledger = self.ledger
        return await self.commits.write(
            items,
            accepted=ledger.accepted,
            unrecorded=ledger.unrecorded,
            settled=ledger.settled,
        )

    async def _spool(self, items: list[Item], outcomes: list[Outcome]) -> None:
        run, accepted = self.commits.run, self.ledger.accepted
        frames = {
            at: Frame(*run, accepted, item)  # what is under way comes whole at its end
            for at, item in enumerate(items)
            if isinstance(item, Exchange) and outcomes[at] == "storage_failed"
        }
        if not frames:
            return
        kept = await asyncio.to_thread(self.spool.append, [*frames.values()])
        self._spooling = all(kept)
        for at, one in zip(frames, kept, strict=True):
            outcomes[at] = "spooled" if one else outcomes[at]

    async def _empty(self, *, torn: bool, now_at: int) -> None:
        self._despooled_to = 0
        try:
            if torn:
                self.spool.keep_aside(now_at=now_at)
            else:
                await asyncio.to_thread(self.spool.clear)
        except OSError as exc:
            _log.error("emptying %s failed: %r", self.spool.path, exc)
