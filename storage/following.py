"""Follows a file: tells what has ended since one last looked, each exchange once."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import msgspec
from sqlalchemy import ColumnElement, func, literal_column, select

from storage.assemble import Row, row_columns
from storage.reading import Library, Query
from storage.statements import bound
from storage.tables import exchanges

_columns = exchanges.c
_rows: Query = select(*row_columns)
_is_open = _columns.state == literal_column("'open'")  # as its index has it

# Numbers of one look: who has been away catches up in short reads.
_AT_ONCE = 5000

# Numbers that a written place reaches back at most: so many rows are looked at for one.
_FURTHEST = 500_000

# How long after its end an exchange may have been committed, when a follower left.
_MARGIN_US = 60_000_000


class Place(msgspec.Struct, frozen=True):
    """How far a follower has come.

    Shapes: all up to the number `high` is told, but for what was `open` then.
    """

    high: int
    open: frozenset[int]

    def written(self, now_at: int) -> str:
        """Return a place as a text that `Mark.read` takes.

        Thousands may be open: it has but the first of them, and the time. What has been
        open for longer than `_FURTHEST` others is found while it is open only.
        """
        low = min(self.open, default=self.high + 1)
        low = max(low, self.high - _FURTHEST)
        return f"{self.high}-{low}-{now_at}"


class Step(msgspec.Struct, frozen=True):
    """What has ended since a place, and the next one.

    Shapes: none of the rows is open; `more` when further rows are there already.
    """

    rows: list[Row]
    place: Place
    more: bool


class Mark(msgspec.Struct, frozen=True):
    """A written place: enough to miss nothing from there on, and to repeat little."""

    high: int
    low: int
    at: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what a text says.

        Raises: `ValueError` where `Place.written` did not write it.
        """
        parts = text.split("-")
        if len(parts) != 3 or not all(
            part.isascii() and part.isdigit() and len(part) < 19 for part in parts
        ):
            raise ValueError("it is none that was sent from here")
        high, low, at = map(int, parts)
        if not high - _FURTHEST <= low <= high + 1:
            raise ValueError("it is none that was sent from here")
        return cls(high, low, at)


def newest(library: Library) -> Place:
    """Return the place behind all that is there now."""
    with _one_moment(library) as connection:
        high = _highest(connection)
        return Place(high, _open(connection, high))


def resumed(library: Library, mark: Mark) -> Place:
    """Return the place of a mark: what ended about then may be told once more."""
    with _one_moment(library) as connection:
        high = min(mark.high, _highest(connection))  # perhaps of a file since replaced
        at = max(mark.at, _begun_at(connection, high))  # it was there when written
        query = select(_columns.seq).where(
            _columns.seq.between(mark.low, high),
            _columns.ended_at >= at - _MARGIN_US,
        )
        found = connection.execute(*bound(query))
        ended = frozenset(seq for (seq,) in found)
        return Place(high, ended | _open(connection, high))


def step(
    library: Library,
    place: Place,
    *,
    condition: ColumnElement[bool] | None = None,
) -> Step:
    """Return what has ended since a place, and meets a condition."""
    with _one_moment(library) as connection:
        highest = _highest(connection)
        high = min(highest, place.high + _AT_ONCE)
        open_now = _open(connection, high)
        ended = sorted(place.open - open_now)[:_AT_ONCE]
        asked = [
            _rows.where(_columns.seq.in_(ended)),
            _rows.where(_columns.seq > place.high, _columns.seq <= high, ~_is_open),
        ]
        rows: list[Row] = []
        for query in asked:
            met = query if condition is None else query.where(condition)
            found = connection.execute(*bound(met.order_by(_columns.seq)))
            rows += [Row(*row) for row in found]
    left = place.open.difference(ended) | open_now
    more = high < highest or not left <= open_now
    return Step(rows, Place(high, left), more)


@contextmanager
def _one_moment(library: Library) -> Iterator[sqlite3.Connection]:
    """Let several questions be asked of one state of the file."""
    connection = library.connection
    connection.execute("BEGIN")
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _highest(connection: sqlite3.Connection) -> int:
    query = select(func.coalesce(func.max(_columns.seq), 0))
    (seq,) = connection.execute(*bound(query)).fetchone()
    return int(seq)


def _begun_at(connection: sqlite3.Connection, high: int) -> int:
    """Return when the last one up to a number began."""
    query = (
        select(_columns.created_at)
        .where(_columns.seq <= high)
        .order_by(_columns.seq.desc())
        .limit(1)
    )
    found = connection.execute(*bound(query)).fetchone()
    return 0 if found is None else int(found[0])


def _open(connection: sqlite3.Connection, high: int) -> frozenset[int]:
    query = select(_columns.seq).where(_is_open)  # alone, it has an index of its own
    found = connection.execute(*bound(query))
    return frozenset(seq for (seq,) in found if seq <= high)
