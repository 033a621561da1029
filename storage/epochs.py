"""Opens and closes the row that each run of a writer has, and adds the runs up."""

import sqlite3

import msgspec
from sqlalchemy import bindparam, func, insert, select, update

from storage.statements import text_of
from storage.tables import epochs

_columns = epochs.c
_INSERT = text_of(
    insert(epochs).values(
        started_at=0, clean=0, batches=0, accepted=0,
        complete=0, incomplete=0, unrecorded=0, lost=0,
    )
)  # fmt: skip
_END = text_of(
    update(epochs)
    .where(_columns.id == bindparam("id_"))
    .values(ended_at=0, clean=0, accepted=0, incomplete=0, unrecorded=0, lost=0)
)
_REST = _columns.accepted - _columns.complete - _columns.incomplete
_CORRECT = text_of(
    update(epochs)
    .where(_columns.id == bindparam("id_"), _columns.ended_at.is_not(None))
    .values(unrecorded=_REST, lost=func.min(_columns.lost, _REST))
)
_ALL = text_of(
    select(
        _columns.id, _columns.ended_at, _columns.clean, _columns.accepted,
        _columns.complete, _columns.incomplete, _columns.unrecorded, _columns.lost,
        _columns.started_at, _columns.batches, _columns.removed_complete,
        _columns.removed_incomplete, _columns.last_removed,
    )
)  # fmt: skip


class Epoch(msgspec.Struct, frozen=True):
    """What the row of a run says of it."""

    id: int
    ended_at: int | None
    clean: bool
    accepted: int
    complete: int
    incomplete: int
    unrecorded: int
    lost: int  # of `unrecorded`: accepted before a crash, and no row tells of them
    started_at: int
    batches: int
    removed_complete: int  # of `complete`, the rows removed since
    removed_incomplete: int
    last_removed: int  # the greatest seq of these


class Totals(msgspec.Struct, frozen=True):
    """P3 over all runs of this file, as of the last commit.

    Shapes: `in_flight` are the rest of a run that has no end; in a run that died they
    become `lost` at the next start. `verify` checks these numbers against the rows.
    """

    accepted: int
    complete: int
    incomplete: int
    unrecorded: int
    lost: int
    in_flight: int

    @property
    def balanced(self) -> bool:
        """Whether all that was accepted is accounted for."""
        settled = self.complete + self.incomplete + self.unrecorded
        return self.accepted == settled + self.in_flight and self.in_flight >= 0


def start(connection: sqlite3.Connection, *, started_at: int) -> int:
    """Insert the row of a new run and return its number."""
    values = (started_at, 0, 0, 0, 0, 0, 0, 0)
    number = connection.execute(_INSERT, values).lastrowid
    if number is None:  # pragma: no cover  an insert into this table has a row id
        raise sqlite3.DatabaseError("the row of this run has no number")
    return number


def read(connection: sqlite3.Connection) -> list[Epoch]:
    """Return all runs, oldest first."""
    return [Epoch(*row) for row in connection.execute(_ALL)]


def end(
    connection: sqlite3.Connection,
    epoch: Epoch,
    *,
    ended_at: int,
    settled: int,
    clean: bool,
) -> int:
    """Close a run inside the caller's transaction; return how many it lost.

    Shapes: `epoch.accepted` and `.unrecorded` are the last known; `settled` rows were
    open until now. Whatever was accepted and has no row is unrecorded.
    """
    incomplete = epoch.incomplete + settled
    unrecorded = epoch.accepted - epoch.complete - incomplete
    lost = 0 if clean else max(0, unrecorded - epoch.unrecorded)
    values = (ended_at, clean, epoch.accepted, incomplete, unrecorded, lost, epoch.id)
    connection.execute(_END, values)
    return lost


def correct(connection: sqlite3.Connection, number: int) -> None:
    """Count what was unrecorded of an ended run anew, as more of it has rows now."""
    connection.execute(_CORRECT, (number,))


def totals(runs: list[Epoch]) -> Totals:
    """Return P3's terms over all runs."""
    accepted = sum(run.accepted for run in runs)
    complete = sum(run.complete for run in runs)
    incomplete = sum(run.incomplete for run in runs)
    unrecorded = sum(run.unrecorded for run in runs)
    in_flight = sum(
        run.accepted - run.complete - run.incomplete - run.unrecorded
        for run in runs
        if run.ended_at is None
    )
    return Totals(
        accepted=accepted,
        complete=complete,
        incomplete=incomplete,
        unrecorded=unrecorded,
        lost=sum(run.lost for run in runs),
        in_flight=in_flight,
    )
