"""Finds that a file is damaged, and sets it aside whole, so that a new one can start.

Nothing is repaired and nothing dropped: SQLite's own tools can read what is aside.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from storage.engines.migrate import APPLICATION_ID

# What SQLite keeps beside a file, and is part of it.
_WITH_IT = ("-wal", "-shm", "")

# A look at every page of a large file takes minutes; a start takes no longer than this.
CHECK_BUDGET_NS = 1_000_000_000
_STEPS = 10_000

# Where a file tells whose it is (SQLite's file format, section 1.3).
_APPLICATION_AT = 68


def check(
    connection: sqlite3.Connection,
    *,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> None:
    """Look for damage as long as the budget lasts.

    Raises: `sqlite3.DatabaseError` with SQLite's code for a damaged file.
    """
    until_ns = monotonic_ns() + CHECK_BUDGET_NS
    connection.set_progress_handler(lambda: monotonic_ns() > until_ns, _STEPS)
    try:
        (told,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    _refuse(told)


def check_all(connection: sqlite3.Connection) -> None:
    """Look for damage in the whole file, however long it takes. Raises: as `check`."""
    (told,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    _refuse(told)


def _refuse(told: str) -> None:
    if told != "ok":
        error = sqlite3.DatabaseError(told)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def is_ours(path: Path) -> bool:
    """Say whether a file that cannot be read was one of ours, by its head.

    To be asked only while no connection to it is open: closing it drops SQLite's locks.
    """
    with path.open("rb") as file:
        head = file.read(_APPLICATION_AT + 4)
    return head[_APPLICATION_AT:] == APPLICATION_ID.to_bytes(4, "big")


def free_name(path: Path, *, now_at: int) -> Path:
    """Return a name for a damaged file, which no earlier one has: clocks step."""
    while (aside := path.with_name(f"{path.name}.damaged-{now_at}")).exists():
        now_at += 1
    return aside


def set_aside(path: Path, *, now_at: int) -> Path:
    """Rename a database and what belongs to it; return its new name.

    A copy of it would need room, and time that traffic does not have.
    Raises: `OSError`.
    """
    aside = free_name(path, now_at=now_at)
    for suffix in _WITH_IT:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
