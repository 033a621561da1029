"""Takes exchanges from the event loop and tells when they are on disk.

One queue, one writer: it commits whatever waits, wakes those who wait for it, and takes
the next batch. No timer and no batch size: the fsync under way is the time to gather.
"""

import asyncio
import logging
import math
import sqlite3
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Self, TypeVar

import msgspec

from storage.commits import Outcome
from storage.counters import Counters
from storage.errors import StorageFailed
from storage.records import Exchange, Progress
from storage.recovery import RecoveryReport
from storage.safekeeping import DEFAULT_LIMITS, Limits, Safekeeping
from storage.waits import Waits
from storage.writer import Item

_log = logging.getLogger(__name__)

T = TypeVar("T")

# In `relaxed` nobody waits, so batches may gather: half of the 50 ms that are promised.
_RELAXED_PAUSE_S = 0.025

# Without a batch for this long the log is copied back.
_IDLE_S = 1.0

# A batch that takes longer is a disk that stalls: who asked to lose nothing
# (`fail_closed`) takes nothing in meanwhile.
_STALLED_NS = 2_000_000_000


class _Entry(msgspec.Struct):
    item: Item
    size_bytes: int
    waiter: asyncio.Future[bool] | None


class Recorder:
    """Keeps exchanges in one file; belongs to one event loop.

    Each exchange is announced with `accept` and then ends in exactly one `keep` or
    `drop`; `note` may come in between. Calls of one exchange keep their order.
    """

    def __init__(
        self,
        safe: Safekeeping,
        *,
        report: RecoveryReport,
        relaxed: bool,
        max_queue_bytes: int,
        clock: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self.report = report
        self._safe = safe
        self._commits = safe.commits
        self._ledger = safe.ledger
        self._relaxed = relaxed
        self._max_queue_bytes = max_queue_bytes
        self._clock = clock
        self._monotonic_ns = monotonic_ns
        self._started_ns: int | None = None  # of the batch under way
        self._queue: list[_Entry] = []
        self._batch: list[_Entry] = []
        self._queued_bytes = 0
        self._waits = Waits()
        self._wake = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._turn = asyncio.Lock()  # a batch or a change: never both
        self._closing = False
        self._stopped = False
        self._batches = 0
        self._commit_ns = 0
        self._last_batch_size = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        *,
        durability: Literal["durable", "relaxed"] = "durable",
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], int],
        monotonic_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> AsyncIterator[Self]:
        """Open the file, recover what a crash left in it, and record until the exit.

        Units: `clock` gives microseconds since the epoch, UTC.
        Raises: `DatabaseInUse`, `DatabaseTooNew`, `NotOurDatabase`, `CannotOpen`,
        `UnsafeFileSystem`, `NoRoom`; `OSError` where it cannot be made.
        """
        async with Safekeeping.open(path, limits, clock=clock) as (safe, report):
            recorder = cls(
                safe,
                report=report,
                relaxed=durability == "relaxed",
                max_queue_bytes=limits.queue_bytes,
                clock=clock,
                monotonic_ns=monotonic_ns,
            )
            task = asyncio.create_task(  # noqa: TID251  the one writer; ended below
                recorder._run(), name="recorder"
            )
            task.add_done_callback(_tell_defect)
            try:
                yield recorder
            finally:
                await recorder._close(task)

    @property
    def full(self) -> bool:
        """Whether more waits for the disk than may: then read no further upstream."""
        return self._queued_bytes > self._max_queue_bytes

    @property
    def failing(self) -> bool:
        """Whether the last batch did not reach the disk; asked anew when idle."""
        return self._stopped or self._commits.failing

    @property
    def failed(self) -> bool:
        """Whether storage fails for good, as far as one can tell; still asked anew."""
        return self._stopped or self._safe.failed

    @property
    def low(self) -> bool:
        """Whether the disk has too little room left for what may be under way."""
        self._safe.room.look()
        return self._safe.room.low

    @property
    def strained(self) -> bool:
        """Whether what can wait should, by what was last seen; any thread may ask."""
        return self.failing or self._safe.room.low

    @property
    def stores(self) -> bool:
        """Whether what is taken in now would be stored, by all that is known."""
        if self._stopped or self.low or not self._safe.stores:
            return False
        started_ns = self._started_ns
        return started_ns is None or self._monotonic_ns() - started_ns < _STALLED_NS

    @property
    def batches(self) -> int:
        """How many batches were settled: who follows asks it before the file."""
        return self._batches

    @property
    def counters(self) -> Counters:
        """The numbers of this run, P3's terms among them."""
        return msgspec.structs.replace(
            self._ledger.counters(),
            batches=self._batches,
            commit_s=self._commit_ns / 1e9,
            queue_bytes=self._queued_bytes,
            last_batch_size=self._last_batch_size,
            failures=self._safe.failures,
            spool_bytes=self._safe.spool.size_bytes,
            free_bytes=self._safe.room.free_bytes,
            reserve_bytes=self._safe.room.held_bytes,
            set_aside=self._commits.set_aside,
        )

    def accept(self, name: str) -> None:
        """Count an exchange, by its id, as accepted and in flight."""
        self._ledger.accept(name)

    async def keep(self, exchange: Exchange, *, most_s: float = math.inf) -> bool:
        """Record the final state of an exchange; return whether it is on disk.

        In `durable` waits for the commit and its fsync, `most_s` seconds at most; in
        `relaxed` returns False at once, and the commit follows within 50 ms. Who stops
        waiting does not stop the commit.
        While the recorder is full it waits for room first; who stops waiting then has
        the exchange counted as not kept.
        Raises: `StorageFailed` when it is not kept, and counted so.
        """
        if self.full:
            most_s = await self._find_room(exchange, most_s)
        if self._stopped:
            self._ledger.lose(exchange.id, "recorder_stopped")
            raise StorageFailed("the recorder has stopped")
        size = len(exchange.request) + len(exchange.answer)
        if self._relaxed:
            self._put(_Entry(exchange, size, None))
            return False
        waiter = self._waits.begin(most_s)
        self._put(_Entry(exchange, size, waiter))
        return await waiter

    async def _find_room(self, exchange: Exchange, most_s: float) -> float:
        """Wait for room for an exchange; return what is left of the time.

        Raises: `StorageFailed` where none is found in it.
        """
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + most_s
        found = False
        try:
            async with asyncio.timeout(None if most_s == math.inf else most_s):
                await self.room()
                found = True
        except TimeoutError as exc:
            raise StorageFailed("the recorder had no room in time") from exc
        finally:
            if not found:
                self._ledger.lose(exchange.id, "queue_full")
        return max(ends_s - loop.time(), 1e-3)

    def note(self, progress: Progress) -> None:
        """Record what an unfinished exchange has so far, with the next commit."""
        if not self._stopped:
            # The request is the tape's own, and is counted once, by `keep`.
            self._put(_Entry(progress, len(progress.part), None))

    def drop(self, name: str, reason: str) -> None:
        """Count an accepted exchange that will not be kept."""
        self._ledger.lose(name, reason)

    async def change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on what is kept, in one transaction between two batches.

        It runs in the writer's thread, perhaps twice, and everything waits for it: it
        takes milliseconds. On disk when this returns.
        Raises: what the function raises, and then nothing is changed; `StorageFailed`.
        """
        return await self._between(self._commits.change, function)

    async def apply(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run what sees to its transactions itself on the writing connection."""
        return await self._between(self._commits.apply, function)

    async def _between(
        self,
        run: Callable[[Callable[[sqlite3.Connection], T]], Awaitable[T]],
        function: Callable[[sqlite3.Connection], T],
    ) -> T:
        async with self._turn:
            if self._stopped:
                raise StorageFailed("the recorder has stopped")
            try:
                return await run(function)
            finally:
                self._wake.set()  # the log is copied back a second later

    async def room(self) -> None:
        """Wait until the recorder is no longer full."""
        while self.full:
            await self._roomy.wait()

    def _put(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._queued_bytes += entry.size_bytes
        self._wake.set()
        if self.full:
            self._roomy.clear()

    async def _run(self) -> None:
        try:
            while await self._some():
                if self._relaxed and not self._closing:
                    await asyncio.sleep(_RELAXED_PAUSE_S)
                async with self._turn:
                    await self._write()
        finally:
            self._stop()

    async def _write(self) -> None:
        """Write what waits, and some of the spool."""
        self._batch, self._queue = self._queue, []
        self._started_ns = started_ns = self._monotonic_ns()
        outcomes = await self._safe.write([one.item for one in self._batch])
        self._started_ns = None
        self._commit_ns += self._monotonic_ns() - started_ns
        await self._settle(outcomes)
        # At the end it is left to the next start.
        if self._safe.has_spooled and not self._closing:
            await self._safe.despool(clock=self._clock)

    async def _some(self) -> bool:
        """Wait for something to write; return False when all is written at the end."""
        while not self._queue:
            if self._closing:
                return False
            if self._safe.has_spooled:
                return True  # an empty batch, and then some of the spool
            self._wake.clear()
            try:
                async with asyncio.timeout(_IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                await self._commits.rest()
                self._safe.room.look()
                if self._commits.failing:
                    return True  # an empty batch asks whether the disk is back
                if not self._safe.room.whole:
                    continue  # looked at again in a second
                await self._wake.wait()
        return True

    async def _settle(self, outcomes: list[Outcome]) -> None:
        """Count and wake those of the batch, then see to the log."""
        batch, written = self._batch, 0
        for entry, outcome in zip(batch, outcomes, strict=True):
            written += entry.size_bytes
            self._tell(entry, outcome)
        self._batch = []
        self._batches += 1
        self._last_batch_size = len(batch)
        self._queued_bytes -= written
        if not self.full:
            self._roomy.set()
        self._safe.room.look()
        await self._commits.tidy(written_bytes=written, items=len(batch))

    def _tell(self, entry: _Entry, outcome: Outcome) -> None:
        item, waiter = entry.item, entry.waiter
        self._safe.count(item, outcome)
        if waiter is None or waiter.done():
            return
        if outcome in {None, "spooled"}:  # on disk, one way or the other
            waiter.set_result(True)
        else:
            waiter.set_exception(StorageFailed(f"{item_id(item)}: {outcome}"))

    def _stop(self) -> None:
        """Leave nobody waiting, however the writer came to its end."""
        self._stopped = True
        for entry in (*self._batch, *self._queue):
            if entry.waiter is None or not entry.waiter.done():
                self._tell(entry, "recorder_stopped")
        self._batch, self._queue, self._queued_bytes = [], [], 0
        self._waits.close()
        self._roomy.set()

    async def _close(self, task: asyncio.Task[None]) -> None:
        """Write what waits, end the run, close the file."""
        self._closing = self._commits.hurried = True
        self._wake.set()
        try:
            await task
        finally:
            async with self._turn:
                settled = await self._commits.close(
                    accepted=self._ledger.accepted,
                    unrecorded=self._ledger.unrecorded,
                    now_at=self._clock(),
                )
            for name in self._ledger.in_flight:
                if name in (settled or ()):
                    self._ledger.settle(name, "proxy_shutdown")
                else:
                    self._ledger.lose(name, "never_ended")


def _tell_defect(task: asyncio.Task[None]) -> None:
    """Log the end of a writer that nobody asked to end, at once and without bodies."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        where = "".join(traceback.format_tb(error.__traceback__))
        _log.critical("the recorder stopped: %s\n%s", type(error).__name__, where)


def item_id(item: Item) -> str:
    """Return the id of the exchange that this tells of."""
    return item.id if isinstance(item, Exchange) else item.exchange.id
