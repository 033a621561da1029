"""Reads what is kept: pages of narrow rows, whole exchanges, and sums.

Never writes, and never holds a read open between two calls.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Select, func, literal_column, select

from storage import epochs
from storage.assemble import Kept, Row, assemble, row_columns
from storage.engines.sqlite import open_reader
from storage.errors import CannotOpen, NoSuchExchange
from storage.records import State
from storage.statements import bound
from storage.tables import exchanges, tags

Query: TypeAlias = Select[*tuple[object, ...]]

_columns = exchanges.c
_rows: Query = select(*row_columns)

# Rows of one read when all are wanted: short reads let the log be copied back.
_AT_ONCE = 500


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What rows must equal; None asks nothing. `model` is asked for or served."""

    model: str | None = None
    upstream: str | None = None
    project: str | None = None
    status: int | None = None
    state: State | None = None
    tag: tuple[str, str] | None = None


NO_FILTERS = Filters()


class Stats(msgspec.Struct, frozen=True):
    """Counts and tokens of one group of exchanges.

    Shapes: `model` is the one served, or asked for where none answered; `failed` are
    those that are not complete or were answered with an error; sizes are of bodies as
    they passed, kept or not.
    Units: `day` is a date, UTC.
    """

    model: str
    upstream: str
    day: str
    state: str
    exchanges: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    request_bytes: int
    answer_bytes: int


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

    def page(
        self,
        *,
        before: str | None = None,
        limit: int = 50,
        filters: Filters = NO_FILTERS,
    ) -> list[Row]:
        """Return rows, newest first, older than the one with the id `before`.

        Raises: `NoSuchExchange` where `before` names none.
        """
        query = _filtered(_rows, filters).order_by(_columns.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(_columns.seq < self._seq(before))
        return self._select(query)

    def after(
        self, seq: int, *, limit: int = 500, filters: Filters = NO_FILTERS
    ) -> list[Row]:
        """Return rows that came after a row, oldest first: what `tail` shows next."""
        query = _filtered(_rows, filters).where(_columns.seq > seq)
        return self._select(query.order_by(_columns.seq).limit(limit))

    def rows(self, *, filters: Filters = NO_FILTERS) -> Iterator[Row]:
        """Yield all rows in the order of their ids, a few hundred in memory at once."""
        last = ""
        while True:
            query = _filtered(_rows, filters).where(_columns.id > last)
            found = self._select(query.order_by(_columns.id).limit(_AT_ONCE))
            yield from found
            if len(found) < _AT_ONCE:
                return
            last = found[-1].id

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

    def stats(self, *, filters: Filters = NO_FILTERS) -> list[Stats]:
        """Return counts, tokens and bytes by model, upstream, day and state."""
        day: ColumnElement[str] = literal_column(
            "date(created_at / 1000000, 'unixepoch')"
        )
        served = func.nullif(_columns.model_served, literal_column("''"))
        model = func.coalesce(served, _columns.model_asked)
        keys = (model, _columns.upstream, day, _columns.state)
        failed: ColumnElement[int] = literal_column(
            "state = 'incomplete' OR status >= 400"
        )
        sums = [
            func.coalesce(func.sum(column), 0)
            for column in (
                failed,
                _columns.prompt_tokens,
                _columns.completion_tokens,
                _columns.request_size,
                _columns.answer_size,
            )
        ]
        query: Query = select(*keys, func.count(), *sums)
        query = _filtered(query, filters).group_by(*keys).order_by(*keys)
        return [Stats(*row) for row in self._connection.execute(*bound(query))]

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

    def _seq(self, name: str) -> int:
        query = select(_columns.seq).where(_columns.id == name)
        row = self._connection.execute(*bound(query)).fetchone()
        if row is None:
            raise NoSuchExchange(f"no exchange has the id {name}")
        return int(row[0])

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


def _filtered(query: Query, filters: Filters) -> Query:
    if filters.model is not None:
        asked = _columns.model_asked == filters.model
        query = query.where(asked | (_columns.model_served == filters.model))
    for name in ("upstream", "project", "status", "state"):
        wanted = getattr(filters, name)
        if wanted is not None:
            query = query.where(_columns[name] == wanted)
    if filters.tag is not None:
        key, value = filters.tag
        tagged = select(tags.c.seq).where(tags.c.key == key, tags.c.value == value)
        query = query.where(_columns.seq.in_(tagged))
    return query
