"""Runs the indexer: in a thread beside the recorder, or to its end where none runs."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from storage.engines.owner import Owner
from storage.errors import DatabaseInUse, StorageError
from storage.index.again import Settle
from storage.index.file import index_path
from storage.index.indexer import Indexer
from storage.queries.content import Reader

_log = logging.getLogger(__name__)

# While exchanges are recorded a tenth of the time, and no step sooner than this: many
# small ones would write the same bitmaps again and again. At rest four fifths.
_BUSY_RATIO, _BUSY_S = 9.0, 0.25
_QUIET_RATIO = 0.25

_ALONE_S = 1.0  # of a step where nobody waits: large ones write each bitmap once
_OPENED_S = 0.5
_IDLE_S = 1.0
_FAILED_S = 5.0
_LOG_EVERY_S = 600.0

FAILURES = (sqlite3.Error, StorageError, OSError, ValueError)


class Behind:
    """Keeps an index up to date until it is stopped.

    Shapes: `commits` counts what is recorded; while it grows the indexer holds back.
    While `strained` says that storage is in trouble it writes nothing.
    """

    def __init__(
        self,
        database: Path,
        *,
        read: Reader,
        settle: Settle,
        commits: Callable[[], int],
        strained: Callable[[], bool],
    ) -> None:
        self._indexer = Indexer(database, read=read, settle=settle)
        self._database = database
        self._commits = commits
        self._strained = strained
        self._seen = 0
        self._stop = threading.Event()
        self._opened = threading.Event()
        self._hurried = threading.Event()
        self._logged_s: float | None = None
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        """Begin; from then on it holds the files that it needs open."""
        self._thread.start()
        self._opened.wait(_OPENED_S)

    def stop(self) -> None:
        """End after the step under way; whoever settles must still be there."""
        self._stop.set()
        self._thread.join()

    def hurry(self) -> None:
        """Ask that what was removed goes from the index now, and not before long."""
        self._hurried.set()

    @property
    def clean(self) -> bool:
        """Whether the index has no byte of the rows that it was told to forget."""
        return self._indexer.clean

    @property
    def rows_behind(self) -> int:
        """Rows that filters look at directly."""
        return self._indexer.rows_behind

    @property
    def words_behind(self) -> int:
        """Rows of which the words are not indexed yet."""
        return self._indexer.words_behind

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with Owner(index_path(self._database)), closing(self._indexer):
                    self._indexer.open()
                    self._opened.set()
                    self._keep_up()
            except DatabaseInUse:
                self._stop.wait(_IDLE_S)  # a command catches up
            except FAILURES as exc:
                self._complain(exc)
                self._stop.wait(_FAILED_S)

    def _keep_up(self) -> None:
        while not self._stop.is_set():
            started_s = time.monotonic()
            hurried = self._hurried.is_set()
            self._hurried.clear()
            more = not self._strained() and self._indexer.step(hurried=hurried)
            spent_s = time.monotonic() - started_s
            commits = self._commits()
            if not more:
                pause_s = _IDLE_S
            elif commits != self._seen and not hurried:
                pause_s = max(_BUSY_RATIO * spent_s, _BUSY_S)
            else:
                pause_s = _QUIET_RATIO * spent_s
            self._seen = commits
            self._stop.wait(pause_s)

    def _complain(self, error: Exception) -> None:
        now_s = time.monotonic()
        if self._logged_s is None or now_s - self._logged_s >= _LOG_EVERY_S:
            self._logged_s = now_s
            where = index_path(self._database)
            _log.error("%s cannot be brought up to date: %r", where, error)


def catch_up(database: Path, read: Reader | None) -> Generator[int, None, None]:
    """Bring an index up to date, and tell after each step how many rows are left.

    Yields nothing where a running recorder sees to it, or another command.
    Raises: as `Indexer.step`.
    """
    try:
        owner = Owner(index_path(database))
    except DatabaseInUse:
        return
    with owner, closing(Indexer(database, read=read)) as indexer:
        try:
            while indexer.step(_ALONE_S):
                yield indexer.rows_behind if read is None else indexer.words_behind
        except DatabaseInUse:  # a recorder was started meanwhile
            return
