"""Overwrites what removed rows left in unused bytes of the index's file.

One pass through the whole file is for all that was removed before it began.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from storage.engines.scrub import FIRST, Scrub
from storage.engines.sqlite import transaction
from storage.index.file import index_path
from storage.index.progress import Progress
from storage.seldom import Seldom


def note_dropped(index: sqlite3.Connection) -> None:
    """Note that content went from an index, within the caller's transaction."""
    progress = Progress.read(index)
    msgspec.structs.replace(progress, dropped=progress.dropped + 1).save(index)


def is_clean(index: sqlite3.Connection) -> bool:
    """Return whether nothing is left of what went."""
    progress = Progress.read(index)
    torn = index.execute("SELECT 1 FROM torn").fetchone()
    return progress.cleaned == progress.dropped and torn is None


class _Pass(msgspec.Struct):
    """Where a pass is, what it is for, and the tables it began with."""

    at: int
    dropped: int
    tables: int
    started_s: float


class Cleansing:
    """Goes through the file of one index; lives as long as the process may."""

    def __init__(
        self, database: Path, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = index_path(database)
        self._monotonic = monotonic
        self._seldom = Seldom(monotonic)
        self._scrub: Scrub | None = None
        self._pass: _Pass | None = None

    def step(self, index: sqlite3.Connection, *, hurried: bool) -> bool:
        """Go through a stretch of pages; return whether there was one to go through.

        Shapes: `hurried` begins a pass however short ago the last one was.
        Raises: as `Scrub.step`.
        """
        progress = Progress.read(index)
        if progress.cleaned == progress.dropped:
            return False
        if self._pass is None and not (hurried or self._seldom.due):
            return False
        scrub = self._scrub
        if scrub is None or scrub.is_of_another:
            scrub = self._scrub = Scrub(self._path)
        its = self._pass = self._pass or _Pass(
            FIRST, progress.dropped, _tables(index), self._monotonic()
        )
        following = scrub.step(index, at=its.at)
        if following is None:
            self._end(index, its)
            return True
        moved, its.at = following != its.at, following
        return moved

    def give_up(self) -> None:
        """Begin from the start the next time."""
        self._pass = None

    def _end(self, index: sqlite3.Connection, its: _Pass) -> None:
        self._pass = None
        self._seldom.rest(self._monotonic() - its.started_s)
        # Making or dropping a table moves whole pages, perhaps to behind the pass.
        if _tables(index) == its.tables:
            progress = Progress.read(index)
            with transaction(index):
                msgspec.structs.replace(progress, cleaned=its.dropped).save(index)


def _tables(index: sqlite3.Connection) -> int:
    """Return a number that changes with each table made or dropped."""
    (number,) = index.execute("PRAGMA schema_version").fetchone()
    return int(number)
