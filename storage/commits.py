"""Gets batches onto the disk: opens, retries, checkpoints and closes the connection."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

from storage import epochs, runs
from storage.damage import is_ours, set_aside
from storage.engines.blame import (
    ITEM_ERRORS,
    is_beyond_use,
    is_damaged,
    is_full,
    is_io,
    is_locked,
)
from storage.engines.owner import create
from storage.engines.sqlite import (
    PAGE_BYTES,
    Connection,
    checkpoint,
    in_transaction,
    wal_bytes,
)
from storage.errors import (
    CannotOpen,
    NotOurDatabase,
    StorageError,
    StorageFailed,
)
from storage.records import Exchange
from storage.recovery import RecoveryReport
from storage.replay import missing
from storage.room import Room
from storage.spool import Spool
from storage.writer import Item, Tally, Writer

_log = logging.getLogger(__name__)

T = TypeVar("T")

Outcome: TypeAlias = (
    Literal["storage_failed", "rejected", "spooled", "recorder_stopped"] | None
)

MIB = 1024 * 1024

# reliability.md 2.4: copied back when idle or past the first; cut past the second.
CHECKPOINT_BYTES = 16 * MIB
TRUNCATE_BYTES = 256 * MIB

# Somebody else's transaction is no failure: it ends, and nothing is lost (F-17).
LOCK_PATIENCE_NS = 60_000_000_000

# A stuck disk fails each batch; one line in this time says so.
_LOG_EVERY_NS = 10_000_000_000

_LOOK_EVERY_NS = 1_000_000_000

# The pages that a batch of small exchanges dirties: the ends of tables and indexes.
_PAGES_PER_BATCH = 12
_PAGES_PER_ITEM = 2


class Commits:
    """The one connection that writes a file, opened anew after each failure."""

    def __init__(
        self,
        path: Path,
        *,
        room: Room,
        monotonic_ns: Callable[[], int],
        clock: Callable[[], int],
    ) -> None:
        self.hurried = False  # no more waiting for locks: the run is about to end
        self.failures = 0  # batches in a row that did not reach the disk
        self.set_aside = 0  # files found damaged since the start
        self.run = (0, 0)  # number and start of this run, as its row has them
        self._path = path
        self._room = room
        self._monotonic_ns = monotonic_ns
        self._clock = clock
        self._failing_ns: int | None = None
        self._unsynced = False  # a sync failed: the log may be in memory only
        self._inode: int | None = None
        self._looked_ns = 0  # whether the file is still at its path
        self._behind = (0, 0)  # what was accepted and lost in files set aside
        self._connection: Connection | None = None
        self._writer: Writer | None = None
        self._batch = 0
        self._logged_ns: int | None = None
        self._written_bytes = 0  # since the last checkpoint, as estimated
        self._truncate_at_bytes = TRUNCATE_BYTES

    @property
    def failing(self) -> bool:
        """Whether the last write did not reach the disk, or has not yet."""
        return self._failing_ns is not None

    async def open(self, spool: Spool, *, now_at: int) -> RecoveryReport:
        """Open the file, settle what runs before left, and start this run.

        Shapes: what is in `spool` is brought in first.
        Raises: `CannotOpen`, and what `storage.engines.migrate.version` raises.
        """
        try:
            try:
                return await self._begin(spool, now_at=now_at)
            except (sqlite3.DatabaseError, NotOurDatabase) as exc:
                if not await self._was_sound(exc):
                    raise
                self._set_aside(exc, now_at=now_at)
                return await self._begin(spool, now_at=now_at)
        except (sqlite3.Error, OSError) as exc:
            await self._abandon()  # its thread would outlive the program
            raise CannotOpen(
                f"{self._path} cannot be opened: {exc}. "
                "If it is damaged, set it aside and name another file"
            ) from exc

    async def _begin(self, spool: Spool, *, now_at: int) -> RecoveryReport:
        self._connection = await Connection.open(self._path)
        report, replayed = await self._connection.run(runs.begin, spool, now_at=now_at)
        await self._start(now_at=now_at)
        return msgspec.structs.replace(
            report, replayed=replayed.kept, left=replayed.left, damaged=self.set_aside
        )

    async def _start(self, *, now_at: int) -> None:
        number = await self._live().run(epochs.start, started_at=now_at)
        self.run = (number, now_at)
        self._writer = await self._live().run(Writer, epoch=number)
        self._inode = self._path.stat().st_ino

    async def write(
        self, items: Sequence[Item], *, accepted: int, unrecorded: int, settled: int
    ) -> list[Outcome]:
        """Commit the items; return for each None, or why it is not in the file.

        Shapes: of the exchanges `accepted`, some were lost (`unrecorded`), and those
        `settled`, the lost among them, concern no file that begins only now.

        A batch that fails is tried once more on a fresh connection, one that meets a
        lock for a minute. What fails for an item's own fault is then written item by
        item, so that only that one is left. A file found damaged is set aside, and the
        batch begins a new one.
        """
        self._batch += 1
        error = await self._insist(items, accepted, unrecorded)
        if error is not None and is_beyond_use(error):
            error = await self._begin_anew(error, settled, unrecorded)
            error = error or await self._insist(items, accepted, unrecorded)
        if error is None:
            self._failing_ns, self.failures = None, 0
            return [None] * len(items)
        if not isinstance(error, ITEM_ERRORS):
            self._fails()
            self.failures += 1
            self._complain(error)
            return ["storage_failed"] * len(items)
        if len(items) == 1:
            self._complain(error)
            return ["rejected"]
        outcomes: list[Outcome] = []
        for item in items:
            outcomes += await self.write(
                [item], accepted=accepted, unrecorded=unrecorded, settled=settled
            )
        return outcomes

    async def _insist(
        self, items: Sequence[Item], accepted: int, unrecorded: int
    ) -> Exception | None:
        """Attempt twice, and go on while somebody else's lock may end."""
        behind, lost = self._behind
        tally = Tally(self._batch, accepted - behind, unrecorded - lost)
        error = self._gone() or await self._attempt(items, tally)
        if error is None or isinstance(error, (*ITEM_ERRORS, FileNotFoundError)):
            return error
        if is_full(error):
            self._room.give()
        error = await self._attempt(items, tally)
        while is_locked(error) and not self.hurried:
            self._fails()
            if self._monotonic_ns() - (self._failing_ns or 0) > LOCK_PATIENCE_NS:
                break
            error = await self._attempt(items, tally)
        return error

    def _fails(self) -> None:
        if self._failing_ns is None:
            self._failing_ns = self._monotonic_ns()

    async def missing(self, items: Sequence[Exchange]) -> list[Exchange] | None:
        """Return those that the file lacks; None where it cannot be asked."""
        try:
            return await self._live().run(missing, items)
        except (sqlite3.Error, OSError) as exc:
            self._writer = None  # opened anew by the next batch
            self._fails()
            self._complain(exc)
            return None

    async def _was_sound(self, error: Exception) -> bool:
        """Say, the connection closed, whether this is a file of ours, damaged."""
        await self._abandon()
        if isinstance(error, NotOurDatabase):
            return is_ours(self._path)
        return is_damaged(error)

    def _set_aside(self, error: Exception, *, now_at: int) -> None:
        aside = set_aside(self._path, now_at=now_at)
        create(self._path)
        self.set_aside += 1
        _log.critical(
            "%s is damaged (%s): set aside as %s, and a new file begun",
            *(self._path, error, aside.name),
        )

    async def _begin_anew(
        self, error: Exception, settled: int, unrecorded: int
    ) -> Exception | None:
        """Set the file aside and begin a new one, for all that is not settled yet."""
        await self._abandon()
        now_at = self._clock()
        try:
            self._set_aside(error, now_at=now_at)
            self._connection = await Connection.open(self._path)
            await self._start(now_at=now_at)
        except (sqlite3.Error, StorageError, OSError) as exc:
            return exc
        self._behind = (settled, unrecorded)
        return None

    def _gone(self) -> Exception | None:
        """Return an error once the file is not at its path, asked once a second.

        SQLite would go on to write where nobody finds it (howtocorrupt.html, 4.1).
        """
        now_ns = self._monotonic_ns()
        if now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return None  # 8 µs of system call, in each commit
        self._looked_ns = now_ns
        try:
            now = self._path.stat()
        except OSError as exc:
            self._writer = None
            return exc
        if now.st_ino != self._inode:
            self._writer = None  # then look at what is there
        return None

    async def tidy(self, *, written_bytes: int, items: int) -> None:
        """Note what a batch wrote, and checkpoint where the log has grown long."""
        pages = _PAGES_PER_BATCH + items * _PAGES_PER_ITEM
        self._written_bytes += written_bytes + pages * PAGE_BYTES
        if self._written_bytes > CHECKPOINT_BYTES:
            await self.rest()
            size = wal_bytes(self._path)
            if size > self._truncate_at_bytes:
                cut = await self._checkpoint("TRUNCATE")
                grown = 0 if cut else size - TRUNCATE_BYTES + CHECKPOINT_BYTES
                self._truncate_at_bytes = TRUNCATE_BYTES + grown

    async def change(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in one transaction, on disk when this returns.

        Raises: what the function raises, and nothing is changed; `StorageFailed` where
        the file cannot take it.
        """

        def whole(connection: sqlite3.Connection) -> tuple[T, int]:
            return in_transaction(connection, function)

        try:
            result, rows = await self.apply(whole)
        except StorageFailed as exc:
            cause = exc.__cause__
            full = isinstance(cause, sqlite3.Error) and is_full(cause)
            if not (full and self._room.give()):
                raise
            result, rows = await self.apply(whole)
        self._written_bytes += rows * PAGE_BYTES
        return result

    async def apply(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the connection, which sees to its transactions itself.

        Raises: what the function raises; `StorageFailed` for what the file does.
        """
        try:
            if (gone := self._gone()) is not None:
                raise gone
            if self._writer is None:
                await self._reopen()
            return await self._live().run(function)
        except ITEM_ERRORS:
            raise
        except (sqlite3.Error, OSError) as exc:
            self._writer = None
            self._unsynced = self._unsynced or is_io(exc)
            raise StorageFailed(f"{self._path} takes no change: {exc}") from exc

    async def rest(self) -> None:
        """Copy the log back, as far as readers allow, if anything was written."""
        if self._written_bytes:
            self._written_bytes = 0
            await self._checkpoint("PASSIVE")

    async def close(
        self, *, accepted: int, unrecorded: int, now_at: int
    ) -> list[str] | None:
        """End this run and close the file; return the ids settled as incomplete.

        Returns None where the end could not be written: the run stays unclean and the
        next start settles it.
        """
        try:
            if self._writer is None:
                await self._reopen()
            settled = await self._live().run(
                runs.end,
                self.run[0],
                accepted=accepted - self._behind[0],
                unrecorded=unrecorded - self._behind[1],
                now_at=now_at,
            )
        except (sqlite3.Error, OSError) as exc:
            self._complain(exc)
            settled = None
        else:
            await self._checkpoint("TRUNCATE")
        await self._abandon()
        return settled

    async def _attempt(self, items: Sequence[Item], tally: Tally) -> Exception | None:
        try:
            writer = self._writer or await self._reopen()
            await self._live().run(_write, writer, items, tally)
        except (sqlite3.Error, StorageError, OSError, MemoryError, *ITEM_ERRORS) as exc:
            self._writer = None
            self._unsynced = self._unsynced or is_io(exc)
            return exc
        return None

    async def _reopen(self) -> Writer:
        await self._abandon()
        self._connection = await Connection.open(self._path)
        if self._unsynced:
            await self._connection.run(runs.copy_log)
            self._unsynced = False
        told = await self._connection.run(epochs.read)
        if self.run not in [(run.id, run.started_at) for run in told]:
            raise NotOurDatabase("this run is not in it")
        self._writer = await self._connection.run(Writer, epoch=self.run[0])
        self._inode = self._path.stat().st_ino
        return self._writer

    async def _abandon(self) -> None:
        connection, self._connection, self._writer = self._connection, None, None
        if connection is not None:
            with suppress(sqlite3.Error):  # what it held is rolled back either way
                await connection.close()

    async def _checkpoint(self, mode: Literal["PASSIVE", "TRUNCATE"]) -> bool:
        if self._connection is None:
            return False
        try:
            whole = await self._connection.run(checkpoint, mode)
        except sqlite3.Error as exc:
            self._complain(exc)
            return False
        if not whole and mode == "TRUNCATE":
            _log.warning("the log of %s is held by a reader", self._path)
        return whole

    def _live(self) -> Connection:
        if self._connection is None:
            raise sqlite3.OperationalError("the database is not open")
        return self._connection

    def _complain(self, error: Exception) -> None:
        now_ns = self._monotonic_ns()
        if self._logged_ns is None or now_ns - self._logged_ns >= _LOG_EVERY_NS:
            self._logged_ns = now_ns
            _log.error("writing %s failed: %r", self._path, error)


def _write(
    _: sqlite3.Connection, writer: Writer, items: Sequence[Item], tally: Tally
) -> None:
    writer.write(items, tally)
