"""Opens SQLite files: the one connection that writes, and those that read."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, Self, TypeVar

import aiosqlite

from storage.engines.migrate import migrate, migrations, version
from storage.errors import NotOurDatabase

P = ParamSpec("P")
T = TypeVar("T")

# SQLite's default. With 8192 a new file is 64 kB larger, and 50 turns of 4 kB take
# 1.85 times their unique compressed bytes instead of 1.61 (2026-11-21).
PAGE_BYTES = 4096

# The log is written over from its start once it is checkpointed: a commit that does not
# make the file longer needs no journal write of the file system. Longer than this it
# is cut when it starts over.
WAL_KEPT_BYTES = 64 * 1024 * 1024

# Nobody else writes; what this waits for is readers, when the log is cut.
_BUSY_S = 0.5

_WRITER_PRAGMAS = (
    f"page_size = {PAGE_BYTES}",  # of a new file; no other is changed by it
    "auto_vacuum = INCREMENTAL",  # so is this: what is removed gives its room back
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL loses what was acknowledged (reliability.md 2.3)
    "wal_autocheckpoint = 0",  # the recorder says when
    f"journal_size_limit = {WAL_KEPT_BYTES}",
    "mmap_size = 0",
    "temp_store = MEMORY",
    "cache_size = -16384",  # KiB
    "secure_delete = ON",  # what was noted of an answer and is forgotten is gone (P5)
)


class Connection(aiosqlite.Connection):
    """The connection that writes, in aiosqlite's thread, with one more method.

    aiosqlite's own calls hop to the thread and back for each statement, and an error
    between two of them leaves a transaction open over an await. Sixteen rows in one
    hop take 42 µs, with an await for each 410 (`bench/recorder.py`, 2026-11-21).
    """

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Return the connection, with the tables brought up to date.

        Raises: as `storage.engines.migrate.version`; `sqlite3.Error`.
        """
        connection = cls(partial(open_writer, path), iter_chunk_size=64)
        try:
            await connection
        except BaseException:
            # aiosqlite stops its thread without waiting: it would answer a closed loop.
            await asyncio.to_thread(connection._thread.join)
            raise
        return connection

    async def run(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a plain function on the connection, in its thread, as one hop."""
        call = partial(function, self._conn, *args, **kwargs)
        result: T = await self._execute(call)  # type: ignore[no-untyped-call]  # aiosqlite
        return result


def open_reader(path: Path, *, any_thread: bool = False) -> sqlite3.Connection:
    """Return a connection that can read and nothing else.

    With `any_thread` it may go from one thread to another, used by one at a time.

    Even one opened read-only resets the log with a `wal_checkpoint` once all of it is
    copied, `query_only` or not (reliability.md, fact 10): the authorizer forbids it.
    Raises: as `storage.engines.migrate.version`; `sqlite3.Error`.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=not any_thread
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.set_authorizer(_deny_checkpoint)
        _refuse_older(version(connection))
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def in_transaction(
    connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]
) -> tuple[T, int]:
    """Run a function; return its result, and how many rows it touched."""
    before = connection.total_changes
    with transaction(connection):
        result = function(connection)
    return result, connection.total_changes - before


def checkpoint(
    connection: sqlite3.Connection, mode: Literal["PASSIVE", "TRUNCATE"]
) -> bool:
    """Copy the log into the database; return whether all of it could be copied.

    Waits for readers as long as the connection's busy timeout says, in mode TRUNCATE.
    Raises: `sqlite3.Error`: only a checked result tells that the copying was synced,
    the checkpoint at closing reports its errors to nobody (reliability.md 2.9).
    """
    row = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    busy, logged, copied = row
    return not busy and logged == copied


def give_back(connection: sqlite3.Connection, *, pages: int) -> int:
    """Take unused pages from the end of the file; return how many are left.

    Outside any transaction. A file made before version 0004 keeps them, for rows to
    come. Raises: `sqlite3.Error`.
    """
    # A page for each step, and `execute` takes one step of what has no columns.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
    (left,) = connection.execute("PRAGMA freelist_count").fetchone()
    (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
    return int(left) if mode else 0


def write_anew(connection: sqlite3.Connection) -> None:
    """Write a whole file anew, as one that can give room back."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("VACUUM")


def wal_bytes(path: Path) -> int:
    """Return the size of the log, by `stat`: opening it would drop SQLite's locks."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


def open_writer(path: Path) -> sqlite3.Connection:
    """Return a connection that writes, with the tables brought up to date.

    Raises: as `storage.engines.migrate.version`; `sqlite3.Error`.
    """
    _bind_as_they_are()
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    try:
        version(connection)
        for pragma in _WRITER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _bind_as_they_are() -> None:
    """Have `sqlite3` find an adapter of bytes and None, which gives back the same.

    Python 3.11 looks for one at each value that it binds, and where there is none makes
    an `AttributeError` that nobody sees: half of the cost of such a value. Later ones
    make none. What is derived from bytes is bound as without this.
    """
    sqlite3.register_adapter(bytes, bytes.__bytes__)
    sqlite3.register_adapter(type(None), {None: None}.__getitem__)


def _refuse_older(number: int) -> None:
    latest = migrations()[-1][0]
    if number < latest:
        raise NotOurDatabase(
            f"the tables are of version {number}, older than {latest}: "
            "start the recorder on this file once to bring it up to date"
        )


def _deny_checkpoint(action: int, name: str | None, *_: str | None) -> int:
    denied = action == sqlite3.SQLITE_PRAGMA and name == "wal_checkpoint"
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK
