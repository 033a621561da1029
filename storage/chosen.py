"""Changes the exchanges that a caller names, of those that it may change.

Whether it may is looked up in the transaction that changes them.
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec
from sqlalchemy import select

from storage import changes
from storage.access import projects_of
from storage.statements import bound
from storage.tables import exchanges


class Outcome(msgspec.Struct, frozen=True):
    """What became of the exchanges that were named, by their ids.

    Shapes: `missing` are those that are not there for this caller; `under_way` have
    not ended, and their end would be written over any change; `held` are a release's.
    """

    changed: list[str]
    missing: list[str]
    under_way: list[str]
    held: list[str]


Change: TypeAlias = Callable[[sqlite3.Connection], Outcome]
"""What `Recorder.change` runs."""


def retagging(
    ids: Sequence[str],
    *,
    fingerprint: str | None,
    add: Mapping[str, str],
    remove: Collection[str],
) -> Change:
    """Return what sets and takes away tags of several exchanges.

    Shapes: `ids` has each once; `fingerprint` is that of the caller's key, None may
    change all.
    """

    def change(connection: sqlite3.Connection) -> Outcome:
        outcome, seqs = _choose(connection, ids, fingerprint=fingerprint, held=False)
        for seq in seqs:
            changes.set_tags(connection, seq, add, remove)
        return outcome

    return change


def erasing(ids: Sequence[str], *, fingerprint: str | None) -> Change:
    """Return what removes several exchanges, but for those that a release holds."""

    def change(connection: sqlite3.Connection) -> Outcome:
        outcome, seqs = _choose(connection, ids, fingerprint=fingerprint, held=True)
        changes.remove(connection, seqs)
        return outcome

    return change


def _choose(
    connection: sqlite3.Connection,
    ids: Sequence[str],
    *,
    fingerprint: str | None,
    held: bool,
) -> tuple[Outcome, list[int]]:
    """Return what will become of exchanges, and the numbers of those that change."""
    columns = exchanges.c
    query = select(columns.id, columns.seq).where(columns.id.in_(ids))
    if fingerprint is not None:
        query = query.where(columns.project.in_(projects_of(connection, fingerprint)))
    seqs = dict(connection.execute(*bound(query)).fetchall())
    found = changes.look(connection, seqs.values())
    outcome = Outcome([], [], [], [])
    for name in ids:
        row = found.get(seqs.get(name, 0))  # rows count from 1
        if row is None:
            outcome.missing.append(name)
        elif row.state == "open":
            outcome.under_way.append(name)
        elif held and row.held is not None:
            outcome.held.append(name)
        else:
            outcome.changed.append(name)
    return outcome, [seqs[name] for name in outcome.changed]
