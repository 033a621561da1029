"""Reads what is kept: narrow rows, and whole exchanges.

Never writes, and never holds a read open between two calls.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self, TypeAlias

from sqlalchemy import Select, func, literal_column, select

from storage import epochs
from storage.assemble import Kept, Row, assemble, row_columns
from storage.engines.sqlite import open_reader
from storage.errors import CannotOpen, NoSuchExchange
from storage.statements import bound
from storage.tables import exchanges

Query: TypeAlias = Select[*tuple[object, ...]]

_columns = exchanges.c
_rows: Query = select(*row_columns)

# Rows of one read when all are wanted: short reads let the log be copied back.
_AT_ONCE = 500


class Library:
    """One reading connection; belongs to one thread at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.beside: sqlite3.Connection | None = None  # to the index, while it is read

    def break_off(self) -> None:
        """Interrupt the statement under way, from any thread."""
        for connection in (self._connection, self.beside):
            if connection is not None:
                with suppress(sqlite3.ProgrammingError):  # it is being closed
                    connection.interrupt()

    def rows(self) -> Iterator[Row]:
        """Yield all rows in the order of their ids, a few hundred in memory at once."""
        last = ""
        while True:
            query = _rows.where(_columns.id > last).order_by(_columns.id)
            found = self._select(query.limit(_AT_ONCE))
            yield from found
            if len(found) < _AT_ONCE:
                return
            last = found[-1].id

    def count(self) -> int:
        """Return how many rows there are, which takes a look at each."""
        query = select(func.count()).select_from(exchanges)
        return int(self._connection.execute(*bound(query)).fetchone()[0])

    def one(self, name: str) -> Kept:
        """Return an exchange with all that is kept of it.

        Raises: `NoSuchExchange`; `ValueError` where the file is damaged.
        """
        return self.whole(self.row(name))

    def row(self, name: str, *, projects: frozenset[str] | None = None) -> Row:
        """Return the row with this id, if it is of these projects; None means of all.

        Raises: `NoSuchExchange`, in the same words for one that others recorded.
        """
        found = self._select(_rows.where(_columns.id == name))
        if not found or (projects is not None and found[0].project not in projects):
            raise NoSuchExchange(f"no exchange has the id {name}")
        return found[0]

    def numbered(self, seq: int) -> Row | None:
        """Return the row of this number, if it is still there."""
        found = self._select(_rows.where(_columns.seq == seq))
        return found[0] if found else None

    def whole(self, row: Row) -> Kept:
        """Return the exchange of a row with all that is kept of it."""
        return assemble(self._connection, row)

    def find(self, text: str, *, limit: int = 20) -> list[Row]:
        """Return the rows whose completion id is this, or whose id starts with it."""
        last = text + "\U0010ffff"
        starts = _rows.where(_columns.id >= text, _columns.id < last)
        named = _rows.where(
            _columns.completion_id == text, literal_column("completion_id <> ''")
        )
        found = self._select(named.order_by(_columns.seq.desc()).limit(limit))
        if not found and text:
            found = self._select(starts.order_by(_columns.id).limit(limit))
        return found

    def totals(self) -> epochs.Totals:
        """Return P3's terms over all runs of this file."""
        return epochs.totals(epochs.read(self._connection))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection that reads, for those who ask their own questions."""
        return self._connection

    def _select(self, query: Query) -> list[Row]:
        return [Row(*row) for row in self._connection.execute(*bound(query))]

    @classmethod
    def open(cls, path: Path, *, any_thread: bool = False) -> Self:
        """Open a file for reading. Raises: as `storage.engines.sqlite.open_reader`."""
        return cls(open_reader(path, any_thread=any_thread))


@contextmanager
def open_library(path: Path) -> Iterator[Library]:
    """Open a file for reading, and close it after.

    Raises: as `storage.engines.sqlite.open_reader`; `CannotOpen` for what SQLite says
    inside the block too.
    """
    try:
        with closing(Library.open(path)) as library:
            yield library
    except sqlite3.Error as exc:
        raise CannotOpen(f"{path} cannot be read: {exc}") from exc
