"""Judgements as rows of the file: how they are written, read and forgotten."""

import sqlite3
from collections.abc import Iterable

import msgspec
from sqlalchemy import bindparam, delete, select, update

from storage.records import Exchange, Fault, Judgement
from storage.statements import text_of
from storage.tables import judgements, reasks

_columns = judgements.c
_READ = text_of(
    select(
        _columns.slot, _columns.schema, _columns.digest, _columns.why,
        _columns.verdict, _columns.reason, _columns.faults, _columns.judged_at,
    )
    .where(_columns.seq == 0)
    .order_by(_columns.number)
)  # fmt: skip
_FORGET = text_of(
    update(judgements).where(_columns.seq == bindparam("seq_")).values(faults=b"")
)
_REMOVE = (
    text_of(delete(judgements).where(_columns.seq == 0)),
    text_of(delete(reasks).where(reasks.c.seq == 0)),
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Fault, ...]).decode


class Judged(Judgement, frozen=True, kw_only=True):
    """A judgement as it is kept.

    Units: `judged_at` microseconds since the epoch, UTC.
    """

    judged_at: int


def rows(exchange: Exchange, seq: int) -> list[tuple[object, ...]]:
    """Return the rows of an exchange's judgements, in the order of the table.

    Faults quote the answer, so they are left out where the content is not kept.
    """
    at = exchange.ended_at or exchange.created_at
    return [
        row(one, seq, number, judged_at=at, kept=exchange.content_kept)
        for number, one in enumerate(exchange.judgements)
    ]


def row(
    judgement: Judgement, seq: int, number: int, *, judged_at: int, kept: bool
) -> tuple[object, ...]:
    """Return the row of one judgement; without its faults where not `kept`."""
    return (
        seq,
        number,
        judgement.slot,
        judgement.schema,
        judgement.digest,
        judgement.why,
        judgement.verdict,
        judgement.reason,
        _encode(judgement.faults) if kept and judgement.faults else b"",
        judged_at,
    )


def read(connection: sqlite3.Connection, seq: int) -> tuple[Judged, ...]:
    """Return the judgements of an exchange, in the order in which they were made.

    Raises: `msgspec.DecodeError` where the file is damaged.
    """
    return tuple(
        Judged(
            slot=slot,
            schema=schema,
            digest=digest,
            why=why,
            verdict=verdict,
            reason=reason,
            faults=_decode(faults) if faults else (),
            judged_at=judged_at,
        )
        for slot, schema, digest, why, verdict, reason, faults, judged_at in (
            connection.execute(_READ, (seq,))
        )
    )


def forget(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Empty the faults of these exchanges: they are content; verdicts stay."""
    connection.executemany(_FORGET, [(b"", seq) for seq in seqs])


def remove(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Delete what is told of these exchanges, and that they ask again."""
    gone = [(seq,) for seq in seqs]
    for statement in _REMOVE:
        connection.executemany(statement, gone)
