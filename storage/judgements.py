"""Judgements as rows of the file: how they are written, read and forgotten."""

import sqlite3
from collections.abc import Iterable

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from storage.records import Exchange, Fault, Followed, Judgement, Verdict
from storage.statements import INSERT_JUDGEMENT, text_of
from storage.tables import changed, exchanges, judgements, reasks

_columns = judgements.c
_READ = text_of(
    select(
        _columns.slot, _columns.schema, _columns.digest, _columns.why,
        _columns.verdict, _columns.reason, _columns.faults, _columns.judged_at,
        _columns.followed,
    )
    .where(_columns.seq == 0)
    .order_by(_columns.number)
)  # fmt: skip
_FORGET = text_of(
    update(judgements).where(_columns.seq == bindparam("seq_")).values(faults=b"")
)
_LOOK = text_of(
    select(exchanges.c.state, exchanges.c.content_kept).where(exchanges.c.seq == 0)
)
_FOLLOW: Followed = "asked_again"
_REPLACE: Followed = "enforced"
_FOLLOWED = text_of(
    update(judgements)
    .where(_columns.seq == bindparam("seq_"), _columns.followed == _REPLACE)
    .values(followed=_FOLLOW)
)
_LAST = text_of(select(func.max(_columns.number)).where(_columns.seq == 0))
_TELL = text_of(
    update(exchanges)
    .where(exchanges.c.seq == bindparam("seq_"))
    .values(schema="", verdict="", error_path="")
)
_CHANGED = text_of(insert(changed).prefix_with("OR IGNORE"))
_REMOVE = (
    text_of(delete(judgements).where(_columns.seq == 0)),
    text_of(delete(reasks).where(reasks.c.seq == 0)),
)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Fault, ...]).decode


WORST_FIRST: tuple[Verdict, ...] = (
    "invalid", "truncated", "refused", "unchecked", "valid",
)  # fmt: skip


class Rejudged(msgspec.Struct, frozen=True, kw_only=True):
    """What judging a recorded exchange once more found.

    Shapes: `seq` is the number of its row; the other three are what the row is to say.
    """

    seq: int
    judgements: tuple[Judgement, ...]
    schema: str | None
    verdict: Verdict | None
    error_path: str | None


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
        judgement.followed,
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
            faults=unpacked(faults),
            judged_at=judged_at,
            followed=followed,
        )
        for (
            *(slot, schema, digest, why, verdict, reason, faults, judged_at),
            followed,
        ) in connection.execute(_READ, (seq,))
    )


def unpacked(faults: bytes) -> tuple[Fault, ...]:
    """Return faults as they are kept. Raises: `msgspec.DecodeError`."""
    return _decode(faults) if faults else ()


def standing(judged: Iterable[Judgement]) -> dict[str | bytes, Verdict]:
    """Return what an answer is by each schema, by name and by digest.

    Shapes: `judged` in the order in which it was judged; of each part the last counts,
    and of the parts the worst.
    """
    last: dict[str | bytes, dict[str, Verdict]] = {}
    for one in judged:
        for told in (one.schema, one.digest):
            last.setdefault(told, {})[one.slot] = one.verdict
    return {told: _worst(set(by_slot.values())) for told, by_slot in last.items()}


def _worst(verdicts: set[Verdict]) -> Verdict:
    return next((one for one in WORST_FIRST if one in verdicts), "unchecked")


def add(connection: sqlite3.Connection, rejudged: Rejudged, *, judged_at: int) -> bool:
    """Put judgements beside the ones there are, and have the row tell of the new ones.

    Returns whether it was done: an exchange that is not there any more, or has not
    ended, stays as it is.
    """
    seq = rejudged.seq
    found = connection.execute(_LOOK, (seq,)).fetchone()
    if found is None or found[0] == "open":
        return False
    kept = bool(found[1])
    (last,) = connection.execute(_LAST, (seq,)).fetchone()
    number = 0 if last is None else last + 1
    connection.executemany(
        INSERT_JUDGEMENT,
        [
            row(one, seq, at, judged_at=judged_at, kept=kept)
            for at, one in enumerate(rejudged.judgements, number)
        ],
    )
    path = rejudged.error_path if kept else None
    connection.execute(_TELL, (rejudged.schema, rejudged.verdict, path, seq))
    connection.execute(_CHANGED, (seq,))
    return True


def follow(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Have what was enforced of these exchanges tell that it was asked for again."""
    connection.executemany(_FOLLOWED, [(_FOLLOW, seq, _REPLACE) for seq in seqs])


def forget(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Empty the faults of these exchanges: they are content; verdicts stay."""
    connection.executemany(_FORGET, [(b"", seq) for seq in seqs])


def remove(connection: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Delete what is told of these exchanges, and that they ask again."""
    gone = [(seq,) for seq in seqs]
    for statement in _REMOVE:
        connection.executemany(statement, gone)
