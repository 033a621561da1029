"""Finds the turns of a conversation that were answered wrongly, and went on."""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import select

from storage.split import split
from storage.statements import text_of
from storage.tables import exchanges, nodes
from storage.threads import message_key, split_keys

_columns = exchanges.c
_link = select(_columns.seq, _columns.parent)
_before = _link.where(_columns.seq == 0).cte("before", recursive=True)
_before = _before.union(
    _link.join_from(exchanges, _before, _columns.seq == _before.c.parent)
)
_WRONG = text_of(
    select(nodes.c.depth, _columns.answer_keys)
    .select_from(_before)
    .join(exchanges, _columns.seq == _before.c.seq)
    .join(nodes, nodes.c.id == _columns.messages_node)
    .where(_columns.verdict == "", _columns.answer_keys.is_not(None))
)


def missteps(
    connection: sqlite3.Connection, parent: int | None, request: bytes
) -> frozenset[int]:
    """Return the places in a request's messages at which wrong answers are repeated.

    Shapes: `parent` is the row that the request goes on from, as it is linked; wrong is
    what the last check of an exchange on the way back found `invalid`, and the message
    behind those that it was asked with, where that still says the same.
    """
    if parent is None:
        return frozenset()
    wrong = connection.execute(_WRONG, (parent, "invalid")).fetchall()
    if not wrong:
        return frozenset()
    cuts = (cut for cut in split(request).cuts if cut.member != "tools")
    elements = next((cut.elements for cut in cuts), ())
    return frozenset(
        place
        for depth, keys in wrong
        for place in _repeated(elements, depth + 1, split_keys(keys))
    )


def _repeated(
    elements: Sequence[bytes | msgspec.Raw], place: int, keys: set[bytes]
) -> Iterator[int]:
    """Yield the places from one on at which an answer is repeated, item by item."""
    for at in range(place, len(elements)):
        key = message_key(elements[at])
        if key in keys:
            yield at
        elif key is not None or b'"reasoning"' not in bytes(elements[at]):
            return
