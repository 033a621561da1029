"""Finds what was recorded by the id that its upstream gave it.

Upstreams may give one id to many answers: the newest of them is the one it names.
"""

import sqlite3
from functools import cache

import msgspec
from sqlalchemy import select, text

from storage.assemble import Row, row_columns
from storage.queries.tree import Both, Node, Term
from storage.reading import Query
from storage.records import CONVERSATION, Endpoint
from storage.statements import text_of
from storage.tables import exchanges

_columns = exchanges.c


class Shelf(msgspec.Struct, frozen=True):
    """Where a caller may look: in what its projects recorded of one API upstream."""

    endpoint: Endpoint
    upstream: str
    projects: frozenset[str]

    def holds(self, row: Row) -> bool:
        """Return whether a row is one that its caller gets to see: ended, and kept."""
        return (
            row.endpoint == self.endpoint
            and row.upstream == self.upstream
            and row.project in self.projects
            and row.state == "complete"
            and row.status < 400
            and bool(row.content_kept)
        )


def name_of(row: Row) -> str:
    """Return the id by which an exchange is asked for: ours where it got none."""
    return row.completion_id or row.id


def newest(connection: sqlite3.Connection, name: str, shelf: Shelf) -> Row | None:
    """Return the newest exchange of this id that its caller gets to see."""
    projects = sorted(shelf.projects)
    cursor = connection.execute(
        _by_name(len(projects)), (name, shelf.endpoint, shelf.upstream, *projects)
    )
    row = cursor.fetchone()
    cursor.close()
    if row is None:
        row = connection.execute(_BY_OUR_ID, (name,)).fetchone()
    found = None if row is None else Row(*row)
    return found if found is not None and shelf.holds(found) else None


def all_of(connection: sqlite3.Connection, name: str, shelf: Shelf) -> list[int]:
    """Return the numbers of all of this id that its caller gets to see."""
    projects = sorted(shelf.projects)
    places = (name, shelf.endpoint, shelf.upstream, *projects)
    found = [seq for (seq,) in connection.execute(_every(len(projects)), places)]
    one = None if found else newest(connection, name, shelf)  # by our own id
    return found if one is None else [one.seq]


def owns(connection: sqlite3.Connection, name: str, shelf: Shelf) -> bool:
    """Return whether its caller has anything of this id, ended or not, kept or not."""
    projects = sorted(shelf.projects)
    places = (name, shelf.endpoint, shelf.upstream, *projects)
    found = connection.execute(_owned(len(projects)), places).fetchone()
    return found is not None


def is_foreign(
    connection: sqlite3.Connection, name: str, shelf: Shelf, *, conversation: bool
) -> bool:
    """Return whether others have something of this id, and its caller has nothing.

    Shapes: with `conversation` it is the id of one, had by who went on with it.
    """
    query = _CONVERSERS if conversation else _OWNERS
    kept = f"{CONVERSATION}{name}" if conversation else name
    rows = connection.execute(query, (kept, shelf.endpoint, shelf.upstream))
    owners = {owner for (owner,) in rows}
    return bool(owners) and owners.isdisjoint(shelf.projects)


def tree_of(
    shelf: Shelf, *, model: str | None = None, tags: tuple[tuple[str, str], ...] = ()
) -> Node:
    """Return the query for what is on a shelf, of one model and with all these tags.

    Shapes: `model` is asked for or served.
    """
    terms = [
        Term("endpoint", "=", shelf.endpoint),
        Term("upstream", "=", shelf.upstream),
        Term("state", "=", "complete"),
        Term("status", "<", 400),
        Term("kept", "=", 1),
    ]
    if model is not None:
        terms.append(Term("model", "=", model))
    terms += [Term(f"tag.{key}", "=", value) for key, value in tags]
    return Both(tuple(terms))


@cache
def _by_name(count: int) -> str:
    """Return the query by an upstream's id, for callers of so many fingerprints."""
    query = _seen(select(*row_columns), count).order_by(_columns.seq.desc())
    return f"{text_of(query)} LIMIT 1"


@cache
def _every(count: int) -> str:
    return text_of(_seen(select(_columns.seq), count))


@cache
def _owned(count: int) -> str:
    return f"{text_of(_of_caller(select(_columns.seq), count))} LIMIT 1"


def _seen(query: Query, count: int) -> Query:
    told = text("state = 'complete' AND status < 400 AND content_kept = 1")
    return _of_caller(query, count).where(told)


def _of_caller(query: Query, count: int) -> Query:
    places = ", ".join(["?"] * count)
    return _of_id(query).where(text(f"project IN ({places})"))


def _of_id(query: Query) -> Query:
    # The second condition is the index's own, word for word.
    named = query.where(_columns.completion_id == "", text("completion_id <> ''"))
    return named.where(_columns.endpoint == "", _columns.upstream == "")


_OWNERS = text_of(_of_id(select(_columns.project).distinct()))
_CONVERSERS = text_of(
    select(_columns.project)
    .distinct()
    # The second condition is the index's own, word for word.
    .where(_columns.previous_response_id == "", text("previous_response_id <> ''"))
    .where(_columns.endpoint == "", _columns.upstream == "")
)


_BY_OUR_ID = text_of(
    select(*row_columns).where(_columns.id == "", text("completion_id = ''"))
)
