"""Brings the index up to what the database has, a slice at a time.

Never waits on who records, and nobody who records waits for it.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from storage.engines.owner import Owner
from storage.engines.sqlite import transaction
from storage.index.again import (
    Change,
    Settle,
    add_words,
    look_again,
    mend,
    settle_never_seen,
)
from storage.index.cleansing import Cleansing, is_clean
from storage.index.facets import add_rows, is_open, rows_after, seq_of
from storage.index.file import BLOCK_ROWS, TEXT_ROWS
from storage.index.spans import widen
from storage.index.worktop import Worktop
from storage.queries.content import Reader

SLICE_S = 0.02
"""What a step takes, about."""

_ROWS_PER_S = 50_000  # as it takes them, about
_LAST = "SELECT coalesce(max(seq), 0) FROM exchanges"


class Indexer:
    """Writes one index; belongs to one thread, and to one process at a time.

    Shapes: `read` tells the words of an exchange, without it none are indexed;
    `settle` lets who writes the database run a change, by default this does. The rows
    of which facets and words are missing are told in `rows_behind`, `words_behind`, and
    whether its file has no byte of what it was told to forget in `clean`.
    """

    def __init__(
        self,
        database: Path,
        *,
        read: Reader | None = None,
        settle: Settle | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows_behind = 0
        self.words_behind = 0
        self.clean = False
        self._database = database
        self._read = read
        self._settle = settle or self._alone
        self._monotonic = monotonic
        self._worktop: Worktop | None = None
        self._cleansing = Cleansing(database, monotonic)

    def step(self, slice_s: float = SLICE_S, *, hurried: bool = True) -> bool:
        """Do one slice of what there is to do; return whether there was anything.

        Shapes: `hurried` as in `Cleansing.step`.
        Raises: as `storage.index.worktop.Worktop`; the next step begins anew.
        """
        try:
            return self._step(self.open(), slice_s, hurried=hurried)
        except BaseException:
            self.close()
            raise

    def open(self) -> Worktop:
        """Open both files, anew where they have been replaced. Raises: as `step`."""
        if self._worktop is not None and self._worktop.stale:
            self.close()
        self._worktop = self._worktop or Worktop(self._database)
        return self._worktop

    def close(self) -> None:
        """Close both files; the next step opens them again."""
        worktop, self._worktop = self._worktop, None
        self.clean = False
        self._cleansing.give_up()
        if worktop is not None:
            worktop.close()

    def _step(self, worktop: Worktop, slice_s: float, *, hurried: bool) -> bool:
        until = self._monotonic() + slice_s
        busy = look_again(worktop, self._read, self._settled)
        busy = settle_never_seen(worktop, self._settled) or busy
        rows = max(int(_ROWS_PER_S * slice_s), 1)
        busy = self._facets(worktop, rows) or busy
        while self._read is not None and self._monotonic() < until:
            if not (mend(worktop, self._read) or self._words(worktop)):
                break
            busy = True
        if self._read is None:
            busy = mend(worktop, None) or busy
        busy = self._cleansing.step(worktop.index, hurried=hurried) or busy
        self._measure(worktop)
        return busy

    def _facets(self, worktop: Worktop, limit: int) -> bool:
        progress = worktop.progress
        rows = rows_after(worktop.main, progress.indexed, limit=limit)
        if not rows:
            return False
        number = seq_of(rows[0]) // BLOCK_ROWS
        rows = [row for row in rows if seq_of(row) // BLOCK_ROWS == number]
        block = worktop.block(number)
        with transaction(worktop.index):
            add_rows(block, rows)
            widen(worktop.index, ((seq_of(row), int(row[1] or 0)) for row in rows))
            worktop.index.executemany(
                "INSERT OR IGNORE INTO pending (seq) VALUES (?)",
                [(seq_of(row),) for row in rows if is_open(row)],
            )
            block.save()
            progress.reaching(worktop.main, seq_of(rows[-1])).save(worktop.index)
        return True

    def _words(self, worktop: Worktop) -> bool:
        progress = worktop.progress
        first = progress.worded + 1
        if self._read is None or first > progress.indexed:
            return False
        end = min(progress.indexed + 1, (first // TEXT_ROWS + 1) * TEXT_ROWS)
        with transaction(worktop.index):
            following = add_words(worktop, self._read, first, end)
            worktop.block(first // BLOCK_ROWS).save()
            done = msgspec.structs.replace(progress, worded=following - 1)
            done.save(worktop.index)
        return True

    def _measure(self, worktop: Worktop) -> None:
        (last,) = worktop.main.execute(_LAST).fetchone()
        progress = worktop.progress
        self.rows_behind = max(last - progress.indexed, 0)
        self.words_behind = max(last - progress.worded, 0)
        self.clean = is_clean(worktop.index)

    def _settled(self, change: Change) -> None:
        """Have a change made, after which nobody may think that all is clean yet."""
        self.clean = False
        self._settle(change)

    def _alone(self, change: Change) -> None:
        """Change the database ourselves; `DatabaseInUse` while it is another's."""
        with (
            Owner(self._database),
            closing(sqlite3.connect(self._database, isolation_level=None)) as its,
        ):
            its.execute("PRAGMA wal_autocheckpoint = 0")
            with transaction(its):
                change(its)
