"""Turns exchanges into rows and rows into exchanges' parts; knows no connection."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import attrgetter, sub
from typing import TypeAlias

import msgspec
import orjson

from storage.records import Chunk, Edit, Exchange, HeaderPairs
from storage.split import Cut, Member

Value: TypeAlias = str | bytes | int | None
Values: TypeAlias = tuple[Value, ...]

_before_usage = attrgetter(
    "project", "upstream", "endpoint", "target", "streamed", "created_at", "state",
    "reason", "status", "first_token_at", "ended_at", "own_us", "completion_id",
    "model_asked", "model_served", "finish_reason",
)  # fmt: skip
_usage = attrgetter(
    "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens"
)
_sizes = attrgetter(
    "request_size", "answer_size", "content_kept", "previous_response_id", "retry_count"
)

_encode = msgspec.msgpack.Encoder().encode


class Links(msgspec.Struct, frozen=True, gc=False):
    """Where an exchange stands among the others, as row numbers."""

    messages_node: int | None
    parent: int | None
    thread: int


class Extras(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is kept of an exchange and never searched."""

    edits: tuple[Edit, ...] = ()
    flags: tuple[str, ...] = ()
    dropped_tags: tuple[str, ...] = ()
    request_headers: HeaderPairs = ()
    answer_headers: HeaderPairs = ()


_extras_decoder = msgspec.msgpack.Decoder(Extras)
_numbers_decoder = msgspec.msgpack.Decoder(list[int])
_layout_decoder = msgspec.msgpack.Decoder(list[tuple[Member, int, bytes]])


def exchange_row(
    exchange: Exchange, *, seq: int, epoch: int, links: Links
) -> tuple[object, ...]:
    """Return the narrow row, in the order of `storage.tables.exchanges`.

    What could repeat content is left out where the content is not kept.
    """
    tags = orjson.dumps(exchange.tags).decode() if exchange.tags else "{}"
    kept = exchange.content_kept
    return (
        seq,
        exchange.id,
        epoch,
        *_before_usage(exchange),
        *_usage(exchange.usage),
        exchange.error if kept else None,
        tags,
        exchange.schema,
        exchange.verdict,
        exchange.error_path if kept else None,
        exchange.prompt_preview if kept else "",
        exchange.answer_preview if kept else "",
        *_sizes(exchange),
        links.messages_node,
        b"".join(exchange.answer_keys) if kept and exchange.answer_keys else None,
        links.parent,
        links.thread,
    )


def pack_extras(exchange: Exchange) -> bytes:
    """Return edits, flags, dropped tags and headers as one value."""
    return _encode(
        Extras(
            exchange.edits,
            exchange.flags,
            exchange.dropped_tags,
            exchange.request_headers,
            exchange.answer_headers,
        )
    )


def flagged(extras: bytes, flag: str) -> bytes:
    """Return what `pack_extras` packed, with one more flag."""
    told = _extras_decoder.decode(extras)
    return _encode(msgspec.structs.replace(told, flags=(*told.flags, flag)))


def unpack_extras(data: bytes) -> Extras:
    """Return what `pack_extras` packed."""
    return _extras_decoder.decode(data)


def pack_chunks(chunks: Sequence[Chunk]) -> bytes:
    """Return sizes and times as one value: the sizes, then each step in time.

    The steps are small and alike, so they take a byte or two and compress.
    """
    times = [chunk.after_us for chunk in chunks]
    steps = map(sub, times, [0, *times])
    return _encode([*(chunk.size_bytes for chunk in chunks), *steps])


def unpack_chunks(data: bytes) -> tuple[Chunk, ...]:
    """Return what `pack_chunks` packed."""
    numbers = _numbers_decoder.decode(data)
    half = len(numbers) // 2
    times: Iterable[int] = accumulate(numbers[half:])
    return tuple(map(Chunk, numbers[:half], times))


def pack_layout(cuts: Sequence[Cut]) -> bytes | None:
    """Return where the arrays go back into the skeleton; None for a whole body."""
    if not cuts:
        return None
    return _encode([(cut.member, cut.at, cut.separator) for cut in cuts])


def unpack_layout(data: bytes | None) -> list[tuple[Member, int, bytes]]:
    """Return member, offset and separator of each array, in body order."""
    return _layout_decoder.decode(data) if data else []
