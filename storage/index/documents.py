"""What an exchange adds to its conversation: the words by which it is found."""

import sqlite3
from collections.abc import Iterator

import msgspec
from sqlalchemy import select

from storage.assemble import Beyond, Row, assemble, row_columns
from storage.queries.content import Reader, Said
from storage.statements import text_of
from storage.tables import exchanges
from storage.verify import DAMAGE

_columns = exchanges.c
_ROWS = text_of(
    select(*row_columns)
    .where(_columns.seq >= 0, _columns.seq < 0)
    .order_by(_columns.seq)
    .limit(1)
)
_PARENT = text_of(
    select(_columns.messages_node, _columns.answer_keys).where(_columns.seq == 0)
)


MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_TOLD_BYTES = 1024 * 1024
"""What is larger is not found by its words.

Reading JSON keeps the interpreter for itself: 3 ms for the second. A request may be
longer, as what it repeats of its conversation is not read.
"""


class Document(msgspec.Struct, frozen=True):
    """An exchange as the index of words takes it; None where it has no content."""

    seq: int
    said: Said | None


def documents(
    main: sqlite3.Connection, read: Reader, first: int, end: int, *, limit: int = 64
) -> Iterator[Document]:
    """Yield the exchanges of these rows, the end not among them, in their order.

    Shapes: `read` is given a request that has only the messages that it adds.
    What is still under way, damaged or too large tells nothing.
    """
    for values in main.execute(_ROWS, (first, end, limit, 0)).fetchall():
        row = Row(*values)
        yield Document(row.seq, _said(main, read, row))


def _said(main: sqlite3.Connection, read: Reader, row: Row) -> Said | None:
    if not row.content_kept or row.state == "open" or row.answer_size > MAX_TOLD_BYTES:
        return None
    if row.request_size > MAX_REQUEST_BYTES:
        return None
    try:
        kept = assemble(main, row, beyond=_beyond(main, row))
        if len(kept.request) > MAX_TOLD_BYTES:
            kept = msgspec.structs.replace(kept, request=b"")
        return read(kept)
    except DAMAGE:
        return None


def _beyond(main: sqlite3.Connection, row: Row) -> Beyond:
    found = main.execute(_PARENT, (row.parent,)).fetchone()
    node, keys = found or (None, None)
    return Beyond(node or 0, keys or b"")
