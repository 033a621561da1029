"""Reads a finished answer for the record: the one way in for sealing and for showing.

Never raises on what an upstream sent; what could not be read is flagged.
"""

from collections.abc import Sequence

import msgspec

from proxy.decode import decode
from proxy.sse import BOM, Event, Events
from proxy.stitch import stitch
from proxy.stitch.outcome import Answer, Stitched
from proxy.stitch.outline import outline
from proxy.stitch.quick import QUICK
from proxy.stitch.values import read_json, write_json
from storage.records import Endpoint, Json

MEMBERS = {  # what the object of an endpoint cannot be without
    "chat": "choices",
    "completions": "choices",
    "responses": "output",
    "embeddings": "data",
}
SNIFFED_BYTES = 64
EVENT_STARTS = (b"data:", b"event:", b":", b"id:", b"retry:")


class Received(msgspec.Struct, frozen=True):
    """What is known of an answer once it ended.

    Shapes: the header values are empty where there was no such header; `chunks` are the
    body bytes as they came, `times_us` when, one per chunk; `ended_clean` says whether
    the body ended as its framing says it should.
    """

    status: int
    content_type: bytes
    content_encoding: bytes
    asked_stream: bool
    chunks: Sequence[bytes]
    times_us: Sequence[int]
    ended_clean: bool


def read_answer(endpoint: Endpoint, received: Received) -> Answer:
    """Return what the record tells of an answer.

    Shapes: flags are `undecoded=…`, `decode_error`, `bomb`, `unparsed` (the body),
    `unparsed_event`, `oversized_event`, `index_out_of_range`, `audio_unaligned`,
    `tool_args_concatenated`, `tool_renamed`, `not_streamed` (though asked for) and
    `streamed_unasked`.
    """
    quick = QUICK.get(endpoint)
    if (
        quick is not None
        and received.status == 200
        and not received.asked_stream
        and not received.content_encoding
    ):
        chunks = received.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        answer = quick(body, complete=received.ended_clean)
        if answer is not None:
            return answer
    try:
        return outline(endpoint, _read(endpoint, received))
    except RecursionError:  # read it could be, but not written again
        return Answer(flags=("unparsed",))


def assemble(endpoint: Endpoint, received: Received) -> dict[str, Json] | None:
    """Return the ChatCompletion, Response, text_completion or list of embeddings.

    Shapes: None where the answer spells no such object; what arrived of it where the
    answer broke off.
    """
    try:
        whole = _read(endpoint, received).whole
    except RecursionError:
        return None
    return whole if MEMBERS[endpoint] in whole else None


def _read(endpoint: Endpoint, received: Received) -> Stitched:
    """Return the object that the answer spells, and its flags."""
    chunks, times_us = received.chunks, received.times_us
    refused_whole = received.status >= 400 and received.ended_clean
    coding_flag = None
    if received.content_encoding:
        decoded = decode(b"".join(chunks), received.content_encoding)
        coding_flag = decoded.flag
        if coding_flag is not None and coding_flag != "decode_error":
            return Stitched({}, received.ended_clean, None, (coding_flag,))
        # Decoding joins the chunks, so nothing is known of when an event came.
        chunks, times_us = (decoded.data,), (0,)
    streamed = _is_stream(
        received, b"".join([chunk[:SNIFFED_BYTES] for chunk in chunks[:SNIFFED_BYTES]])
    )
    if streamed:
        stitched = _read_events(endpoint, received, chunks, times_us)
    else:
        stitched = _read_object(endpoint, received, b"".join(chunks))
    flags = stitched.flags if coding_flag is None else (coding_flag, *stitched.flags)
    if streamed != received.asked_stream and received.status < 400:
        flags = (*flags, "streamed_unasked" if streamed else "not_streamed")
    return Stitched(
        stitched.whole,
        stitched.complete or refused_whole,
        stitched.error,
        flags,
        None if received.content_encoding else stitched.first_token_us,
    )


def _is_stream(received: Received, head: bytes) -> bool:
    """Return whether the body is an event stream: its first bytes overrule the label.

    No event stream with data starts like a JSON object, and no JSON like an event.
    """
    head = head.removeprefix(BOM).lstrip()
    if head.startswith((b"{", b"[")):
        return False
    if head.startswith(EVENT_STARTS):
        return True
    content_type = received.content_type.lower()
    return b"event-stream" in content_type or (
        received.asked_stream and not content_type
    )


def _read_events(
    endpoint: Endpoint,
    received: Received,
    chunks: Sequence[bytes],
    times_us: Sequence[int],
) -> Stitched:
    events = Events()
    cut: list[Event] = []
    for chunk, seen_us in zip(chunks, times_us, strict=True):
        cut += events.feed(chunk, seen_us=seen_us)
    cut += events.close()
    stitched = stitch(endpoint, cut, ended_clean=received.ended_clean)
    flags = stitched.flags
    if events.oversized_count:
        flags = (*flags, "oversized_event")
    if not cut and any(chunks):
        flags = (*flags, "unparsed")
    return msgspec.structs.replace(stitched, flags=flags)


def _read_object(endpoint: Endpoint, received: Received, body: bytes) -> Stitched:
    try:
        value = read_json(body)
        if not isinstance(value, dict):
            return Stitched({}, complete=False, flags=("unparsed",))
        error = None
        if value.get("error"):
            error = write_json(value["error"])
        elif received.status >= 400:
            error = write_json(value)  # some endpoints leave the wrapper out
    except (ValueError, RecursionError):
        return Stitched({}, complete=False, flags=("unparsed",))
    whole = isinstance(value.get(MEMBERS[endpoint]), list)
    return Stitched(value, whole and received.ended_clean, error)


__all__ = ["Answer", "Received", "assemble", "read_answer"]
