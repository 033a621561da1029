"""The index's file: its tables, and opening it to write and to read.

Whoever writes it is one; what it holds can be made again from the database.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.engines.sqlite import transaction

BLOCK_ROWS = 65_536
"""One container of a roaring bitmap: at most 8 kB for each value of a field."""

TEXT_ROWS = 16_384
"""Rows of one table of words: what is made again where text of one row goes."""

SPAN_ROWS = 1024
"""Rows of which the first and the last time are known."""

# Of these tables, counted up with each change of their meaning: an index of another
# number is thrown away and made again.
FORMAT = 2
_APPLICATION_ID = 0x53616669  # "Safi"

_BUSY_S = 0.5  # what a cut of the log waits for readers

_PAGE_BYTES = 16_384  # a bitmap of 8 kB lies within one
_TABLES = """
CREATE TABLE progress (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE fields (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE bitmaps (
    field INTEGER NOT NULL, block INTEGER NOT NULL, value NOT NULL,
    count INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (field, block, value)
);
CREATE TABLE spans (
    span INTEGER PRIMARY KEY, least INTEGER NOT NULL, greatest INTEGER NOT NULL
);
CREATE TABLE pending (seq INTEGER PRIMARY KEY);
CREATE TABLE torn (part INTEGER PRIMARY KEY, next INTEGER NOT NULL);
"""


def index_path(database: Path) -> Path:
    """Return where the index of a database lies."""
    database = database.resolve()
    return database.with_name(database.name + "-index")


def open_writer(database: Path) -> sqlite3.Connection:
    """Open the index to write, made anew where it is missing or of no use.

    Raises: `sqlite3.Error`; `OSError`.
    """
    path = index_path(database)
    try:
        return _opened(path)
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.OperationalError):
            raise
        remove(database)
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError):  # closing that one would drop its readers' locks
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    try:
        _refuse_others(_format(connection))
        for pragma in (
            f"page_size = {_PAGE_BYTES}",
            "auto_vacuum = INCREMENTAL",  # tells which pages a scrub may touch
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "secure_delete = ON",  # removed text must not be left in it
            "temp_store = MEMORY",
            "cache_size = -16384",  # KiB
            "journal_size_limit = 67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if _format(connection) == (0, 0):
            connection.executescript(
                f"BEGIN IMMEDIATE;{_TABLES}"
                f"PRAGMA application_id = {_APPLICATION_ID};"
                f"PRAGMA user_version = {FORMAT};COMMIT;"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(database: Path) -> sqlite3.Connection | None:
    """Open the index to read; None where there is none that can be read."""
    uri = f"{index_path(database).as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
    except sqlite3.Error:
        return None
    try:
        if _format(connection) == (_APPLICATION_ID, FORMAT):
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA cache_size = -8192")
            return connection
    except sqlite3.Error:
        pass  # as good as none: the indexer makes another
    connection.close()
    return None


def remove(database: Path) -> None:
    """Remove the index; nobody may have it open to write."""
    path = index_path(database)
    for name in (path.name, path.name + "-wal", path.name + "-shm"):
        path.with_name(name).unlink(missing_ok=True)


@contextmanager
def synced(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside so that a power cut cannot take it back."""
    connection.execute("PRAGMA synchronous = FULL")
    try:
        with transaction(connection):
            yield
    finally:
        connection.execute("PRAGMA synchronous = NORMAL")


def _refuse_others(its: tuple[int, int]) -> None:
    if its not in {(0, 0), (_APPLICATION_ID, FORMAT)}:
        raise sqlite3.DatabaseError("an index of another format")


def _format(connection: sqlite3.Connection) -> tuple[int, int]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return application, version
