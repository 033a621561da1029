"""Brings exchanges from the spool into the database, each of them once."""

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace
from sqlalchemy import select, text

from storage import epochs
from storage.engines.blame import ITEM_ERRORS
from storage.engines.sqlite import transaction
from storage.epochs import Epoch
from storage.records import Exchange
from storage.spool import Frame, Spool
from storage.statements import text_of
from storage.tables import exchanges
from storage.writer import Tally, Writer

_IS_KEPT = text_of(
    select(exchanges.c.seq).where(exchanges.c.id == "", text("state <> 'open'"))
)


class Replayed(NamedTuple):
    """What a start brought in: what `left` counts is in a spool set aside."""

    kept: int = 0
    left: int = 0


def replay(connection: sqlite3.Connection, spool: Spool, *, now_at: int) -> Replayed:
    """Write all that the spool holds, then empty it; before any run is settled.

    A crash anywhere repeats it without harm: what is in the file is not written again.
    Raises: `sqlite3.Error`, `OSError`.
    """
    kept = left = at = 0
    torn = False
    foreign: dict[tuple[int, int], int] = {}  # runs of another file, here anew
    while at < spool.size_bytes and not torn:
        frames, at, damaged, torn = spool.read(at)
        left += damaged + torn
        for _, group in groupby(frames, key=_run_of):
            of_run = list(group)
            fresh = missing(connection, [frame.exchange for frame in of_run])
            run = _find(connection, of_run, foreign, fresh=len(fresh))
            wrote = _write(connection, run, fresh)
            kept += wrote
            left += len(fresh) - wrote
    for number in foreign.values():
        _end(connection, number, now_at=now_at)
    if left:
        spool.keep_aside(now_at=now_at)
    elif spool.size_bytes:
        spool.clear()
    return Replayed(kept, left)


def missing(
    connection: sqlite3.Connection, items: Sequence[Exchange]
) -> list[Exchange]:
    """Return those that have no final row yet, each once."""
    fresh = {item.id: item for item in items}
    return [
        item
        for item in fresh.values()
        if connection.execute(_IS_KEPT, (item.id,)).fetchone() is None
    ]


def _run_of(frame: Frame) -> tuple[int, int]:
    return frame.epoch, frame.started_at


def _find(
    connection: sqlite3.Connection,
    frames: Sequence[Frame],
    foreign: dict[tuple[int, int], int],
    *,
    fresh: int,
) -> Epoch:
    """Return the row of the frames' run, told how many the run really accepted."""
    run = _run_of(frames[0])
    told = {(row.id, row.started_at): row for row in epochs.read(connection)}
    if run in told:
        accepted = max(frame.accepted for frame in frames)
        return replace(told[run], accepted=max(accepted, told[run].accepted))
    if run not in foreign:  # their file was set aside: here they are a run of their own
        foreign[run] = epochs.start(connection, started_at=run[1])
    (row,) = [row for row in epochs.read(connection) if row.id == foreign[run]]
    return replace(row, accepted=row.accepted + fresh)


def _write(connection: sqlite3.Connection, run: Epoch, fresh: list[Exchange]) -> int:
    """Write under the run that took them in; return how many could be written."""
    if not fresh:
        return 0
    writer = Writer(connection, epoch=run.id)
    tally = Tally(run.batches + 1, run.accepted, run.unrecorded)
    try:
        writer.write(fresh, tally)
    except ITEM_ERRORS:
        if len(fresh) == 1:
            return 0
        return sum(_write_alone(connection, run, item) for item in fresh)
    epochs.correct(connection, run.id)
    return len(fresh)


def _write_alone(connection: sqlite3.Connection, run: Epoch, item: Exchange) -> int:
    (now,) = [row for row in epochs.read(connection) if row.id == run.id]
    return _write(connection, replace(now, accepted=run.accepted), [item])


def _end(connection: sqlite3.Connection, number: int, *, now_at: int) -> None:
    (run,) = [row for row in epochs.read(connection) if row.id == number]
    with transaction(connection):
        epochs.end(connection, run, ended_at=now_at, settled=0, clean=True)
