"""Puts a kept exchange together again from its rows."""

import sqlite3
from itertools import dropwhile
from typing import cast

import msgspec
import orjson
from sqlalchemy import ColumnElement, select

from storage.bodies import Packer
from storage.judgements import Judged
from storage.judgements import read as read_judgements
from storage.records import Chunk, Edit, Endpoint, HeaderPairs, Reason, State
from storage.recovery import read_parts
from storage.rows import unpack_chunks, unpack_extras, unpack_layout
from storage.split import Cut, join
from storage.statements import text_of
from storage.tables import exchanges, nodes, payloads, pieces
from storage.threads import may_repeat, message_key, split_keys

# Twice the largest request that settings allow; what no recorder of ours wrote.
MAX_BODY_BYTES = 256 * 1024 * 1024

row_columns: list[ColumnElement[object]] = [
    column for column in exchanges.c if column.name != "answer_keys"
]

_payload = payloads.c
_PAYLOAD = text_of(
    select(
        pieces.c.data, _payload.layout, _payload.tools_node, _payload.request_sha256,
        _payload.sent_sha256, _payload.answer_sha256, _payload.kept_size,
        _payload.extras,
        _payload.answer, _payload.chunks,
    )
    .outerjoin_from(payloads, pieces, pieces.c.id == _payload.skeleton)
    .where(_payload.seq == 0)
)  # fmt: skip
_ID = text_of(select(exchanges.c.id).where(exchanges.c.seq == 0))

_links = (
    select(nodes.c.parent, nodes.c.piece, nodes.c.depth)
    .where(nodes.c.id == 0, nodes.c.id != 0)
    .cte("links", recursive=True)
)
_links = _links.union_all(
    select(nodes.c.parent, nodes.c.piece, nodes.c.depth)
    .join_from(_links, nodes, nodes.c.id == _links.c.parent)
    .where(_links.c.parent != 0)
)
_CHAIN = text_of(
    select(_links.c.depth, pieces.c.data)
    .outerjoin_from(_links, pieces, pieces.c.id == _links.c.piece)
    .order_by(_links.c.depth)
)


class Row(msgspec.Struct, frozen=True):
    """One exchange in a list, without its bodies.

    Shapes: the columns of `exchanges` in order; `tags` has them decoded. `parent` and
    `thread` are the seq of other rows.
    Units: `_at` are microseconds since the epoch, UTC; `own_us` microseconds.
    """

    seq: int
    id: str
    epoch: int
    project: str
    upstream: str
    endpoint: Endpoint
    target: str
    streamed: int
    created_at: int
    state: State
    reason: Reason | None
    status: int
    first_token_at: int | None
    ended_at: int | None
    own_us: int
    completion_id: str
    model_asked: str
    model_served: str
    finish_reason: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    error: bytes | None
    tags_json: str
    schema: str | None
    verdict: str | None
    error_path: str | None
    prompt_preview: str
    answer_preview: str
    request_size: int
    answer_size: int
    content_kept: int
    previous_response_id: str
    retry_count: int
    messages_node: int | None
    parent: int | None
    thread: int

    @property
    def tags(self) -> dict[str, str]:
        """The tags of this exchange."""
        return cast("dict[str, str]", orjson.loads(self.tags_json))  # as we wrote them


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange with all that is kept of it; bodies byte for byte.

    Shapes: where the content is not kept, only `row`, `parent_id`, `thread_id` and
    `judgements` without their faults.
    """

    row: Row
    parent_id: str | None
    thread_id: str | None
    judgements: tuple[Judged, ...] = ()
    request: bytes = b""
    request_sha256: bytes = b""
    sent_sha256: bytes = b""
    answer: bytes = b""
    answer_sha256: bytes = b""
    kept_size: int = 0  # of the answer, as noted when it was written
    edits: tuple[Edit, ...] = ()
    flags: tuple[str, ...] = ()
    dropped_tags: tuple[str, ...] = ()
    request_headers: HeaderPairs = ()
    answer_headers: HeaderPairs = ()
    chunks: tuple[Chunk, ...] = ()


class Beyond(msgspec.Struct, frozen=True):
    """What an exchange may share with another: messages, and the answer after them.

    Shapes: `node` ends the messages; `keys` are those of the answer, joined.
    """

    node: int
    keys: bytes = b""

    def answered(self, message: bytes) -> bool:
        """Return whether this message repeats the answer."""
        key = message_key(message) if may_repeat(message) else None
        return key is not None and key in split_keys(self.keys)


def assemble(
    connection: sqlite3.Connection, row: Row, *, beyond: Beyond | None = None
) -> Kept:
    """Return the exchange of this row.

    Shapes: with `beyond`, its request has only the messages that it does not share
    with another, and no tools: so much reads as a request, too.
    Raises: `ValueError`, `zstandard.ZstdError`, `msgspec.DecodeError` or `BodyTooLarge`
    where the file is damaged.
    """
    parent, thread = (_id(connection, seq) for seq in (row.parent, row.thread))
    judged = read_judgements(connection, row.seq) if row.verdict else ()
    bare = Kept(row=row, parent_id=parent, thread_id=thread, judgements=judged)
    found = connection.execute(_PAYLOAD, (row.seq,)).fetchone()
    if found is None:
        return bare
    skeleton, layout, tools_node, request_sha, sent_sha, answer_sha, size, *packed = (
        found
    )
    if skeleton is None:
        raise ValueError(f"the request of {row.id} has lost its skeleton")
    packer = Packer()
    extras_data, answer, chunks_data = (
        packer.unpack(data, max_bytes=MAX_BODY_BYTES) for data in packed
    )
    extras, chunks = unpack_extras(extras_data), unpack_chunks(chunks_data)
    if row.state == "open":
        answer, chunks, _ = read_parts(connection, row.seq)
        size = len(answer)
    ends = {"tools": None if beyond else tools_node}
    cuts = [
        Cut(member, at, separator, _elements(connection, end, packer, beyond))
        for member, at, separator in unpack_layout(layout)
        for end in (ends.get(member, row.messages_node),)
    ]
    return msgspec.structs.replace(
        bare,
        request=join(packer.unpack(skeleton, max_bytes=MAX_BODY_BYTES), cuts),
        request_sha256=request_sha,
        sent_sha256=sent_sha,
        answer=answer,
        answer_sha256=answer_sha,
        kept_size=size,
        edits=extras.edits,
        flags=extras.flags,
        dropped_tags=extras.dropped_tags,
        request_headers=extras.request_headers,
        answer_headers=extras.answer_headers,
        chunks=chunks,
    )


def _elements(
    connection: sqlite3.Connection,
    end: int | None,
    packer: Packer,
    beyond: Beyond | None,
) -> list[bytes]:
    """Return the elements of an array, those only that go beyond another's."""
    if beyond is None:
        return _chain(connection, end, packer)
    new = _chain(connection, end, packer, stop=beyond.node)
    return list(dropwhile(beyond.answered, new))


def _chain(
    connection: sqlite3.Connection, node: int | None, packer: Packer, stop: int = 0
) -> list[bytes]:
    elements: list[bytes] = []
    first: int | None = None if stop else 0
    for depth, data in connection.execute(_CHAIN, (node, stop, stop)):
        first = depth if first is None else first
        if depth != first + len(elements) or data is None:
            raise ValueError(f"node {node} has lost element {len(elements)}")
        elements.append(packer.unpack(data, max_bytes=MAX_BODY_BYTES))
    return elements


def _id(connection: sqlite3.Connection, seq: int | None) -> str | None:
    row = connection.execute(_ID, (seq,)).fetchone()
    return None if row is None else str(row[0])
