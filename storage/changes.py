"""Changes and removes rows that were written, inside the caller's transaction.

Whatever is changed is noted in `changed`, for the index beside the file. Content goes
when nobody needs it any more: pieces and chains of other exchanges stay.
"""

import sqlite3
from collections.abc import Iterable, Mapping

import msgspec
import orjson
from sqlalchemy import bindparam, delete, func, insert, select, update

from storage import judgements
from storage.errors import HeldByRelease, NoSuchExchange, StillOpen
from storage.statements import text_of
from storage.tables import (
    changed,
    epochs,
    exchanges,
    held,
    nodes,
    parts,
    payloads,
    pieces,
)

_row, _payload = exchanges.c, payloads.c
_LOOK = text_of(
    select(
        _row.state,
        _row.tags,
        _row.epoch,
        _row.messages_node,
        _payload.tools_node,
        _payload.skeleton,
        held.c.seq,
    )
    .outerjoin_from(exchanges, payloads, _payload.seq == _row.seq)
    .outerjoin(held, held.c.seq == _row.seq)
    .where(_row.seq == 0)
)
_CHANGED = text_of(insert(changed).prefix_with("OR IGNORE"))
_SET_TAGS = text_of(update(exchanges).where(_row.seq == 0).values(tags=""))
_DELETE_ROW = text_of(delete(exchanges).where(_row.seq == 0))
_DELETE_PAYLOAD = text_of(delete(payloads).where(_payload.seq == 0))
_DELETE_PARTS = text_of(delete(parts).where(parts.c.seq == 0))
_STRIP_ROW = text_of(
    update(exchanges)
    .where(_row.seq == 0)
    .values(
        error=None,
        error_path=None,
        prompt_preview="",
        answer_preview="",
        content_kept=0,
        messages_node=None,
        answer_keys=None,
    )
)
_STRIPPED = (None, None, "", "", 0, None, None)
_last = func.max(epochs.c.last_removed, bindparam("seq_"))
_COUNT = {
    name: text_of(
        update(epochs)
        .where(epochs.c.id == bindparam("id_"))
        .values(
            {
                "last_removed": _last,
                f"removed_{name}": epochs.c[f"removed_{name}"] + bindparam("one_"),
            }
        )
    )
    for name in ("complete", "incomplete")
}
_COUNT_DROPPED = text_of(
    update(epochs)
    .where(epochs.c.id == bindparam("id_"))
    .values(dropped=epochs.c.dropped + bindparam("one_"))
)

_NODE_USES = (
    text_of(select(_row.seq).where(_row.messages_node == 0)),
    text_of(select(_payload.seq).where(_payload.tools_node == 0)),
    text_of(select(nodes.c.id).where(nodes.c.parent == 0)),
)
_PIECE_USES = (
    text_of(select(nodes.c.id).where(nodes.c.piece == 0)),
    text_of(select(_payload.seq).where(_payload.skeleton == 0)),
)
_NODE = text_of(select(nodes.c.parent, nodes.c.piece).where(nodes.c.id == 0))
_DELETE_NODE = text_of(delete(nodes).where(nodes.c.id == 0))
_DELETE_PIECE = text_of(delete(pieces).where(pieces.c.id == 0))


class Found(msgspec.Struct, frozen=True):
    """What a row needs of others, and what speaks against changing it."""

    state: str
    tags: str
    epoch: int
    messages_node: int | None
    tools_node: int | None
    skeleton: int | None
    held: int | None


def set_tags(
    connection: sqlite3.Connection,
    seq: int,
    add: Mapping[str, str],
    remove: Iterable[str] = (),
) -> dict[str, str]:
    """Add tags to an exchange, take others from it, and return those it has now.

    Raises: `NoSuchExchange`; `StillOpen`.
    """
    before = orjson.loads(_ended(connection, seq).tags)
    kept = {key: value for key, value in before.items() if key not in set(remove)}
    return replace_tags(connection, seq, {**kept, **add})


def replace_tags(
    connection: sqlite3.Connection, seq: int, new: Mapping[str, str]
) -> dict[str, str]:
    """Give an exchange these tags and no others; return them.

    Raises: `NoSuchExchange`; `StillOpen`.
    """
    _ended(connection, seq)
    told = dict(new)
    connection.execute(_SET_TAGS, (orjson.dumps(told).decode(), seq))
    connection.execute(_CHANGED, (seq,))
    return told


def remove(connection: sqlite3.Connection, seqs: Iterable[int]) -> int:
    """Remove exchanges with all that only they need; return how many there were.

    Raises: `StillOpen` or `HeldByRelease`, by the first that is.
    """
    found = _removable(connection, seqs)
    for seq, row in found.items():
        connection.execute(_DELETE_ROW, (seq,))
        connection.execute(_COUNT[row.state], (1, seq, row.epoch))
    judgements.remove(connection, found)
    drop_content(connection, found)
    return len(found)


def strip(connection: sqlite3.Connection, seqs: Iterable[int]) -> int:
    """Remove the content of exchanges and leave their rows; return how many.

    What is left is what `store: false` leaves: numbers, names, tags and verdicts.
    Raises: as `remove`.
    """
    found = _removable(connection, seqs)
    connection.executemany(_STRIP_ROW, [(*_STRIPPED, seq) for seq in found])
    judgements.forget(connection, found)
    drop_content(connection, found)
    return len(found)


def look(connection: sqlite3.Connection, seqs: Iterable[int]) -> dict[int, Found]:
    """Return what these rows need of others, as far as they are there."""
    rows = ((seq, connection.execute(_LOOK, (seq,)).fetchone()) for seq in seqs)
    return {seq: Found(*row) for seq, row in rows if row is not None}


def _ended(connection: sqlite3.Connection, seq: int) -> Found:
    row = look(connection, (seq,)).get(seq)
    if row is None:
        raise NoSuchExchange("this exchange is not here any more")
    if row.state == "open":
        raise StillOpen("this exchange has not ended: change it once it has")
    return row


def _removable(connection: sqlite3.Connection, seqs: Iterable[int]) -> dict[int, Found]:
    found = look(connection, seqs)
    if any(row.state == "open" for row in found.values()):
        raise StillOpen("an exchange has not ended: remove it once it has")
    if any(row.held is not None for row in found.values()):
        raise HeldByRelease("a release is made of an exchange: it stays")
    return found


def drop_content(connection: sqlite3.Connection, rows: Mapping[int, Found]) -> None:
    """Delete payloads, and of pieces and nodes those that no other exchange needs.

    Shapes: `rows` as `look` found them, before they were removed or replaced.
    """
    seqs = [(seq,) for seq in rows]
    connection.executemany(_DELETE_PAYLOAD, seqs)
    connection.executemany(_DELETE_PARTS, seqs)
    connection.executemany(_CHANGED, seqs)
    dropped = [(1, row.epoch) for row in rows.values()]
    connection.executemany(_COUNT_DROPPED, dropped)
    ends = {end for row in rows.values() for end in (row.messages_node, row.tools_node)}
    loose = {row.skeleton for row in rows.values()}
    for end in ends - {None}:
        loose |= _drop_chain(connection, end)
    for piece in loose - {None}:
        if not _is_used(connection, _PIECE_USES, piece):
            connection.execute(_DELETE_PIECE, (piece,))


def _drop_chain(connection: sqlite3.Connection, end: int | None) -> set[int | None]:
    """Delete nodes from the end of a chain as far as it is nobody's; return pieces."""
    loose: set[int | None] = set()
    while end and not _is_used(connection, _NODE_USES, end):
        row = connection.execute(_NODE, (end,)).fetchone()
        if row is None:  # another chain's end was further on, and took this with it
            break
        connection.execute(_DELETE_NODE, (end,))
        end, piece = row
        loose.add(piece)
    return loose


def _is_used(
    connection: sqlite3.Connection, uses: tuple[str, ...], number: int | None
) -> bool:
    return any(connection.execute(use, (number,)).fetchone() for use in uses)
