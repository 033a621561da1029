"""Whose recordings a key may read: fingerprints of keys, joined to projects.

A row keeps the fingerprint of the key it came with, for good. Which project that
belongs to is told here, so that joining two keys rewrites no row.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from storage.engines.sqlite import open_writer, transaction
from storage.errors import CannotOpen
from storage.statements import bound, text_of
from storage.tables import callers as table

# How long a change waits for those who write: a server's commits are short.
_WAIT = "PRAGMA busy_timeout = 10000"  # milliseconds

_columns = table.c
_ALL = text_of(
    select(_columns.fingerprint, _columns.project, _columns.first_seen_at).order_by(
        _columns.first_seen_at, _columns.fingerprint
    )
)
_PROJECT = text_of(select(_columns.project).where(_columns.fingerprint == ""))
_MEMBERS = text_of(select(_columns.fingerprint).where(_columns.project == ""))
_insert = insert(table)
_ASSIGN = text_of(
    _insert.on_conflict_do_update(
        index_elements=[_columns.fingerprint],
        set_={"project": _insert.excluded.project},
    )
)


class Caller(msgspec.Struct, frozen=True):
    """One key that was seen, by its fingerprint, and the project it belongs to.

    Units: `first_seen_at` is microseconds since the epoch, UTC.
    """

    fingerprint: str
    project: str
    first_seen_at: int


def projects_of(connection: sqlite3.Connection, fingerprint: str) -> frozenset[str]:
    """Return the fingerprints whose recordings the key of this one may read.

    Shapes: its own always, and those of all keys assigned to its project.
    """
    found = connection.execute(_PROJECT, (fingerprint,)).fetchone()
    project = fingerprint if found is None else found[0]
    members = connection.execute(_MEMBERS, (project,))
    return frozenset({fingerprint, *(name for (name,) in members)})


def callers(connection: sqlite3.Connection) -> list[Caller]:
    """Return all keys that were seen, the first one first."""
    return [Caller(*row) for row in connection.execute(_ALL)]


def matching(connection: sqlite3.Connection, start: str, *, limit: int) -> list[str]:
    """Return the fingerprints that begin with this text, as people write them."""
    query = (
        select(_columns.fingerprint)
        .where(_columns.fingerprint >= start)
        .where(_columns.fingerprint < start + "\U0010ffff")
        .order_by(_columns.fingerprint)
        .limit(limit)
    )
    return [name for (name,) in connection.execute(*bound(query))]


def assign(
    connection: sqlite3.Connection,
    fingerprints: Iterable[str],
    project: str,
    *,
    now_at: int,
) -> None:
    """Let these keys belong to one project, and to no other any more.

    Shapes: a fingerprint that was never seen counts as seen now. Runs inside a
    transaction of its caller's.
    """
    rows = [(fingerprint, project, now_at) for fingerprint in fingerprints]
    connection.executemany(_ASSIGN, rows)


def assign_in(
    path: Path, fingerprints: Iterable[str], project: str, *, now_at: int
) -> None:
    """Assign keys in a file, beside a server that may be recording to it.

    A server reads these rows at every request, and adds to them at most: SQLite's own
    lock is all that the two need of each other.
    Raises: `CannotOpen`.
    """
    try:
        with closing(open_writer(path)) as connection:
            connection.execute(_WAIT)
            with transaction(connection):
                assign(connection, fingerprints, project, now_at=now_at)
    except sqlite3.Error as exc:
        raise CannotOpen(f"{path} cannot be changed: {exc}") from exc
