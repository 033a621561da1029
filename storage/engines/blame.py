"""Tells from an error of SQLite what is at fault: item, lock, disk or file."""

import sqlite3

from storage.errors import DatabaseTooNew, NotOurDatabase

# The item's fault, not the disk's: a value that no column takes, an id kept twice.
ITEM_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    TypeError,
    ValueError,
)

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_locked(error: Exception | None) -> bool:
    """Say whether an error is that somebody else is writing."""
    return _code(error) in _LOCKED


def is_full(error: Exception | None) -> bool:
    """Say whether an error is that the disk has no more room."""
    return _code(error) == sqlite3.SQLITE_FULL


def is_io(error: Exception | None) -> bool:
    """Say whether an error is that a read, a write or a sync failed."""
    return _code(error) == sqlite3.SQLITE_IOERR


def is_damaged(error: Exception | None) -> bool:
    """Say whether an error is that the file is no sound database (any more)."""
    return _code(error) in _DAMAGED


def is_beyond_use(error: Exception) -> bool:
    """Say whether the file at the path cannot be, or is not, the one of this run."""
    lost = (NotOurDatabase, DatabaseTooNew, FileNotFoundError)
    return is_damaged(error) or isinstance(error, lost)


def _code(error: Exception | None) -> int:
    """Return the primary code; extended ones have more in their upper bits."""
    if not isinstance(error, sqlite3.Error):
        return 0
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
