"""Gets batches onto the disk: opens, retries, checkpoints and closes the connection."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from storage import epochs
from storage.engines.sqlite import (
    PAGE_BYTES,
    Connection,
    checkpoint,
    transaction,
    wal_bytes,
)
from storage.errors import CannotOpen
from storage.recovery import RecoveryReport, recover, settle
from storage.writer import Item, Tally, Writer

_log = logging.getLogger(__name__)

Outcome: TypeAlias = Literal["storage_failed", "rejected"] | None

MIB = 1024 * 1024

# reliability.md 2.4: copied back when idle or past the first; cut past the second.
CHECKPOINT_BYTES = 16 * MIB
TRUNCATE_BYTES = 256 * MIB

# Somebody else's transaction is no failure: it ends, and nothing is lost (F-17).
LOCK_PATIENCE_NS = 60_000_000_000
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

# A stuck disk fails each batch; one line in this time says so.
_LOG_EVERY_NS = 10_000_000_000

# The pages that a batch of small exchanges dirties: the ends of tables and indexes.
_PAGES_PER_BATCH = 12
_PAGES_PER_ITEM = 2

# The item's fault, not the disk's: a value that no column takes, an id kept twice.
_ITEM_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)


class Commits:
    """The one connection that writes a file, opened anew after each failure."""

    def __init__(self, path: Path, *, monotonic_ns: Callable[[], int]) -> None:
        self.hurried = False  # no more waiting for locks: the run is about to end
        self._path = path
        self._monotonic_ns = monotonic_ns
        self._connection: Connection | None = None
        self._writer: Writer | None = None
        self.failing = False  # the last write did not reach the disk
        self._epoch = 0
        self._batch = 0
        self._logged_ns: int | None = None
        self._written_bytes = 0  # since the last checkpoint, as estimated
        self._truncate_at_bytes = TRUNCATE_BYTES

    async def open(self, *, now_at: int) -> RecoveryReport:
        """Open the file, settle what runs before left, and start this run.

        Raises: `CannotOpen`, and what `storage.engines.migrate.version` raises.
        """
        try:
            self._connection = await Connection.open(self._path)
            report = await self._connection.run(recover, now_at=now_at)
            self._epoch = await self._connection.run(epochs.start, started_at=now_at)
            self._writer = await self._connection.run(Writer, epoch=self._epoch)
        except sqlite3.Error as exc:
            await self._abandon()  # its thread would outlive the program
            raise CannotOpen(
                f"{self._path} cannot be opened: {exc}. "
                "If it is damaged, set it aside and name another file"
            ) from exc
        return report

    async def write(
        self, items: Sequence[Item], *, accepted: int, unrecorded: int
    ) -> list[Outcome]:
        """Commit the items; return for each None, or why it is not in the file.

        A batch that fails is tried once more on a fresh connection, one that meets a
        lock for a minute. What fails for an item's own fault is then written item by
        item, so that only that one is left.
        """
        self._batch += 1
        tally = Tally(self._batch, accepted, unrecorded)
        error = await self._attempt(items, tally)
        if error is not None and not isinstance(error, _ITEM_ERRORS):
            error = await self._attempt(items, tally)
        started_ns = self._monotonic_ns()
        while is_locked(error) and not self.hurried:
            self.failing = True
            if self._monotonic_ns() - started_ns > LOCK_PATIENCE_NS:
                break
            error = await self._attempt(items, tally)
        if error is None:
            self.failing = False
            return [None] * len(items)
        if not isinstance(error, _ITEM_ERRORS):
            self.failing = True
            self._complain(error)
            return ["storage_failed"] * len(items)
        if len(items) == 1:
            self._complain(error)
            return ["rejected"]
        outcomes: list[Outcome] = []
        for item in items:
            outcomes += await self.write(
                [item], accepted=accepted, unrecorded=unrecorded
            )
        return outcomes

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
                _end_run,
                self._epoch,
                accepted=accepted,
                unrecorded=unrecorded,
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
        except (sqlite3.Error, OSError, *_ITEM_ERRORS) as exc:
            self._writer = None
            return exc
        return None

    async def _reopen(self) -> Writer:
        await self._abandon()
        self._connection = await Connection.open(self._path)
        self._writer = await self._connection.run(Writer, epoch=self._epoch)
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


def is_locked(error: Exception | None) -> bool:
    """Say whether an error is that somebody else is writing."""
    if not isinstance(error, sqlite3.Error):
        return False
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED


def _write(
    _: sqlite3.Connection, writer: Writer, items: Sequence[Item], tally: Tally
) -> None:
    writer.write(items, tally)


def _end_run(
    connection: sqlite3.Connection,
    epoch: int,
    *,
    accepted: int,
    unrecorded: int,
    now_at: int,
) -> list[str]:
    (run,) = [run for run in epochs.read(connection) if run.id == epoch]
    run = msgspec.structs.replace(run, accepted=accepted, unrecorded=unrecorded)
    with transaction(connection):
        settled = settle(connection, epoch, reason="proxy_shutdown", now_at=now_at)
        epochs.end(connection, run, ended_at=now_at, settled=len(settled), clean=True)
    return settled
