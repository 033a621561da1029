"""Copies a database as of one moment, while it may be written."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from storage.damage import check_all
from storage.engines.sqlite import open_reader
from storage.errors import CannotOpen, NoRoom
from storage.room import free_bytes

_PAGES = 4096  # of one step: 16 MiB
_MIB = 1024 * 1024
_BESIDE = ".secret"  # what callers' keys are hashed with: a copy alone knows nobody


def back_up(
    database: Path, target: Path, *, progress: Callable[[int, int], None]
) -> None:
    """Write a copy, check it, and give it its name at last.

    The log is not cut meanwhile, and grows by what is recorded. `progress` is told the
    pages done and all of them.
    Raises: `FileExistsError`; `OSError`; `NoRoom`; `CannotOpen` where the file cannot
    be read, or the copy is damaged.
    """
    if target.exists():
        raise FileExistsError(f"{target} is there already: name another file")
    need = database.stat().st_size
    if free_bytes(target.parent) < need:
        raise NoRoom(
            f"{target.parent} has {free_bytes(target.parent) // _MIB} MiB free, and "
            f"{need // _MIB} MiB are needed"
        )
    part = target.with_name(target.name + ".part")
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        _copy(database, part, progress)
        _sync(part)
        part.rename(target)
    except sqlite3.Error as exc:
        raise CannotOpen(f"{database} cannot be copied: {exc}") from exc
    finally:
        part.unlink(missing_ok=True)
    _copy_beside(database, target)
    _sync(target.parent)


def _copy(database: Path, part: Path, progress: Callable[[int, int], None]) -> None:
    def told(_: int, remaining: int, total: int) -> None:
        progress(total - remaining, total)

    with (
        closing(open_reader(database)) as source,
        closing(sqlite3.connect(part, isolation_level=None)) as copy,
    ):
        # Else each commit of the recorder would have it begin anew.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM epochs").fetchone()
        source.backup(copy, pages=_PAGES, progress=told)
        source.execute("ROLLBACK")
        check_all(copy)
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy_beside(database: Path, target: Path) -> None:
    source = database.with_name(database.name + _BESIDE)
    if not source.exists():
        return
    copy = target.with_name(target.name + _BESIDE)
    file = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as beside:
        beside.write(source.read_bytes())
        beside.flush()
        os.fsync(beside.fileno())


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
