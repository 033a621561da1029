"""Seals a tape: reads the answer once, and builds the frozen exchange of it.

In lots of at most 15 members: Python puts more arguments by name into a dictionary
first. 30 of them took 23 900 instructions, two lots take 12 800 (2026-11-21).
"""

import asyncio
import hashlib

import msgspec

from proxy.answer import Answer, Received, read_answer
from proxy.decode import decode
from proxy.rules import holds
from proxy.tape import Tape, sizes_and_times
from storage.records import Exchange, Reason, State
from storage.threads import message_key

INLINE_BYTES = 64 * 1024
"""Request and answer up to this are sealed on the event loop, larger in a thread."""

INLINE_CHUNKS = 1000
"""Answers of more reads than this are sealed in a thread too."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How the relaying of an answer ended.

    Shapes: `clean` when the transport said that the body is whole; `reason` stands for
    what went wrong, None when nothing did.
    Units: `at` microseconds since the epoch; `own_us` what the proxy itself added.
    """

    clean: bool
    terminal: bool = False
    reason: Reason | None = None
    at: int
    own_us: int
    error: bytes | None = None
    flags: tuple[str, ...] = ()


def opened(tape: Tape) -> Exchange:
    """Return the exchange of a tape that still runs, without its answer."""
    plan = tape.plan
    kept = plan.content_kept
    request_sha256, sent_sha256 = digests(tape) if kept else (b"", b"")
    taped = Exchange(
        id=tape.id,
        project=tape.project,
        upstream=tape.upstream,
        endpoint=tape.endpoint,
        target=tape.target,
        streamed=plan.streamed,
        created_at=tape.created_at,
        state="open",
        status=tape.status,
        request_size=len(tape.request),
        request_headers=tape.request_headers,
        answer_headers=tape.recorded_headers,
        content_kept=kept,
        asks_again=tape.attempt.asks_again,
    )
    return msgspec.structs.replace(
        taped,
        model_asked=plan.model_asked,
        schema=plan.schema,
        tags=plan.tags,
        dropped_tags=plan.dropped_tags,
        prompt_preview=plan.prompt_preview,
        request=tape.request if kept else b"",
        request_sha256=request_sha256,
        sent_sha256=sent_sha256,
        edits=plan.edits,
        flags=plan.flags,
        previous_response_id=plan.before,
        retry_count=plan.retry_count,
    )


def digests(tape: Tape) -> tuple[bytes, bytes]:
    """Return those of the request as received and as sent, mostly the same bytes."""
    if tape.digests is not None:
        return tape.digests
    received = hashlib.sha256(tape.request).digest()
    if tape.plan.body is tape.request:
        return received, received
    return received, hashlib.sha256(tape.plan.body).digest()


async def measure(tape: Tape) -> None:
    """Take the digests of a large request in a thread, before it is sent.

    So the loop never stands still for them, and what was sent can be let go (H-64).
    """
    if len(tape.request) > INLINE_BYTES:
        tape.digests = None
        tape.digests = await asyncio.to_thread(digests, tape)


def is_short(tape: Tape) -> bool:
    """Return whether sealing takes no longer than the event loop can be kept."""
    size_bytes = len(tape.request) + tape.kept_bytes
    return size_bytes <= INLINE_BYTES and len(tape.chunks) <= INLINE_CHUNKS


def seal(tape: Tape, ending: Ending, *, sse: bool) -> Exchange:
    """Return the finished exchange of a tape.

    Shapes: `sse` says that the answer came as an event stream.
    """
    tape.sealed = True
    answer_bytes = b"".join(tape.chunks)
    answer = read_tape(tape, ended_clean=ending.clean and tape.whole)
    state, reason = state_of(tape, ending, answer, sse=sse)
    flags = tape.plan.flags + ending.flags + answer.flags
    kept = tape.plan.content_kept
    if says_key(tape, answer_bytes):  # an upstream that echoes it (P5)
        kept = False
        tape.forget_content()
        answer = without_words(answer)
    if not tape.whole:
        flags += ("truncated_record",)
    if ending.terminal and not answer.finish_reason:
        flags += ("no_finish_reason",)
    first_us = answer.first_token_us
    ended = msgspec.structs.replace(
        tape.open_exchange or opened(tape),
        state=state,
        reason=reason,
        status=tape.status,
        schema=None,  # which was meant was noted: which judged it says the judge
        first_token_at=None if first_us is None else tape.created_at + first_us,
        ended_at=ending.at,
        own_us=ending.own_us,
        error=ending.error or answer.error,
        answer_size=tape.size_bytes,
        answer_headers=tape.recorded_headers,
        flags=flags,
    )
    return msgspec.structs.replace(
        ended,
        completion_id=answer.completion_id,
        model_served=answer.model,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        answer_preview=answer.preview if kept else "",
        answer=answer_bytes if kept else b"",
        answer_sha256=tape.answer_sha256(answer_bytes) if kept else b"",
        chunks=sizes_and_times(tape.chunks, tape.times_us) if kept else (),
        answer_keys=_keys(answer) if kept else (),
    )


def _keys(answer: Answer) -> tuple[bytes, ...]:
    return tuple([key for key in map(message_key, answer.messages) if key is not None])


def read_tape(tape: Tape, *, ended_clean: bool) -> Answer:
    """Return what the record tells of the answer on a tape."""
    return read_answer(tape.endpoint, received(tape, ended_clean=ended_clean))


def received(tape: Tape, *, ended_clean: bool) -> Received:
    """Return what is known of the answer on a tape."""
    return Received(
        status=tape.status,
        content_type=tape.header(b"content-type"),
        content_encoding=tape.header(b"content-encoding"),
        asked_stream=tape.plan.streamed,
        chunks=tape.chunks,
        times_us=tape.times_us,
        ended_clean=ended_clean,
    )


def says_key(tape: Tape, answer_bytes: bytes) -> bool:
    """Return whether an answer holds the caller's key, under its codings too."""
    if tape.key is None:
        return False
    coding = tape.header(b"content-encoding")
    return holds(answer_bytes, tape.key) or (
        bool(coding) and holds(decode(answer_bytes, coding).data, tape.key)
    )


def without_words(answer: Answer) -> Answer:
    """Return what is told of an answer, without any text that the upstream chose."""
    return msgspec.structs.replace(
        answer, completion_id="", model="", finish_reason=None
    )


def state_of(
    tape: Tape, ending: Ending, answer: Answer, *, sse: bool
) -> tuple[State, Reason | None]:
    """Say whether an exchange is complete, and if not, why.

    A whole error answer is a complete exchange: its status tells. An error inside a
    stream is not, whatever follows it (wire A5).
    """
    if answer.error is not None and tape.status < 400:
        return "incomplete", "upstream_error"
    if ending.reason is not None and not ending.terminal:
        return "incomplete", ending.reason
    if not tape.whole:
        return "incomplete", "too_large"
    if sse and not ending.terminal and not answer.complete:
        return "incomplete", "upstream_truncated"
    return "complete", None
