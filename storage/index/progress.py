"""How far an index is, and which file it belongs to."""

import sqlite3
from typing import Self

import msgspec

_LAST_RUN = "SELECT id, started_at FROM epochs ORDER BY id DESC LIMIT 1"
_RUN = "SELECT started_at FROM epochs WHERE id = ?"
_ID = "SELECT id FROM exchanges WHERE seq = ?"
_LAST = (
    "SELECT max((SELECT coalesce(max(seq), 0) FROM exchanges), "
    "(SELECT coalesce(max(last_removed), 0) FROM epochs))"
)
_SAVE = "INSERT OR REPLACE INTO progress (name, value) VALUES (?, ?)"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What of the database an index has.

    Shapes: rows up to `indexed` have facets, rows up to `worded` their words; `last_id`
    is the id of the row `indexed`; `run` and `started_at` are of the last run that the
    indexer saw. Content went from the index `dropped` times, and nothing is left of the
    first `cleaned` times.
    """

    indexed: int = 0
    worded: int = 0
    last_id: str = ""
    run: int = 0
    started_at: int = 0
    dropped: int = 0
    cleaned: int = 0

    @classmethod
    def read(cls, index: sqlite3.Connection) -> Self:
        """Return what the index says of itself."""
        found = index.execute("SELECT name, value FROM progress").fetchall()
        return cls(**dict(found))

    def save(self, index: sqlite3.Connection) -> None:
        """Write it, within the caller's transaction."""
        index.executemany(_SAVE, msgspec.structs.asdict(self).items())

    def belongs(self, main: sqlite3.Connection) -> bool:
        """Return whether the index is of this database, and of no older copy of it."""
        if not self.run:
            return True
        if main.execute(_RUN, (self.run,)).fetchone() != (self.started_at,):
            return False
        (last,) = main.execute(_LAST).fetchone()
        found = main.execute(_ID, (self.indexed,)).fetchone()
        if found is None:  # removed, or never there
            return bool(last >= self.indexed)
        return bool(found[0] == self.last_id)

    def reaching(self, main: sqlite3.Connection, seq: int) -> "Progress":
        """Return the progress of an index that now has facets up to a row."""
        run, started_at = main.execute(_LAST_RUN).fetchone() or (0, 0)
        found = main.execute(_ID, (seq,)).fetchone()
        return msgspec.structs.replace(
            self,
            indexed=seq,
            worded=min(self.worded, seq),
            last_id=found[0] if found else "",
            run=run,
            started_at=started_at,
        )
