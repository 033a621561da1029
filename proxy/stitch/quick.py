"""Reads the ordinary answer without building its objects: only what the record tells.

Each reader returns None for whatever is not exactly as the API defines it; the general
way, `read_json` and `outline`, is then taken. A chat answer of 1 kB: 2.9 µs against
5.9 µs (2026-11-21).
"""

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Raw, Struct

from proxy.stitch.outcome import Answer
from proxy.stitch.outline import (
    MAX_TOKENS,
    NAME_CHARACTERS,
    base64_width,
    call_text,
    join_preview,
)
from storage.records import Endpoint, Usage

Count = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
Name = Annotated[str, Meta(max_length=NAME_CHARACTERS)]


class Reader(Protocol):
    """One endpoint's quick way."""

    def __call__(self, body: bytes, *, complete: bool) -> Answer | None:
        """Return what is told of a JSON body, or None if it takes the general way."""


class _Details(Struct):
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class _Usage(Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Function(Struct):
    name: str
    arguments: str


class _Call(Struct):
    function: _Function


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(Struct):
    message: Raw
    finish_reason: Name | None = None


class _Chat(Struct):
    choices: list[_Choice]
    id: Name = ""
    model: Name = ""
    usage: _Usage | None = None
    error: None = None  # anything else takes the general way


class _Vector(Struct):
    embedding: Raw


class _Vectors(Struct):
    data: list[_Vector]
    model: Name = ""
    usage: _Usage | None = None
    error: None = None  # anything else takes the general way


CHAT = msgspec.json.Decoder(_Chat)
MESSAGE = msgspec.json.Decoder(_Message)
EMBEDDINGS = msgspec.json.Decoder(_Vectors)


def read_chat(body: bytes, *, complete: bool) -> Answer | None:
    """Return what is told of a ChatCompletion."""
    try:
        _check_utf8(body)
        chat = CHAT.decode(body)
        if not chat.choices:
            return None
        raw = [choice.message for choice in chat.choices]
        messages = list(map(MESSAGE.decode, raw))
    except (ValueError, RecursionError):
        return None
    reasons = tuple([choice.finish_reason for choice in chat.choices])
    return Answer(
        completion_id=chat.id,
        model=chat.model,
        finish_reason=reasons[0],
        finish_reasons=reasons,
        usage=_usage(chat.usage),
        complete=complete,
        preview=join_preview(_texts(messages[0])),
        messages=tuple(map(bytes, raw)),
    )


def read_vectors(body: bytes, *, complete: bool) -> Answer | None:
    """Return what is told of a list of embeddings, the numbers left unread."""
    try:
        _check_utf8(body)
        vectors = EMBEDDINGS.decode(body)
    except (ValueError, RecursionError):
        return None
    first = bytes(vectors.data[0].embedding) if vectors.data else b""
    if first.startswith(b'"'):
        width = base64_width(len(first.strip(b'"').rstrip(b"=")))
    else:
        inside = first.startswith(b"[") and first.strip(b"[] ")
        width = first.count(b",") + 1 if inside else 0
    return Answer(
        model=vectors.model,
        usage=_usage(vectors.usage),
        complete=complete,
        preview=f"{len(vectors.data)} vectors of {width}",
    )


QUICK: dict[Endpoint, Reader] = {"chat": read_chat, "embeddings": read_vectors}


def _check_utf8(body: bytes) -> None:
    """Raise `ValueError` for what msgspec skips unseen in a value it leaves raw."""
    if not body.isascii():
        body.decode()


def _texts(message: _Message) -> list[str]:
    texts = [message.content or "", message.refusal or ""]
    if message.tool_calls or message.function_call:
        calls = [call.function for call in message.tool_calls or ()]
        if message.function_call is not None:
            calls.append(message.function_call)
        texts += [call_text(call.name, call.arguments) for call in calls]
    return texts


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    prompt = usage.prompt_tokens_details
    completion = usage.completion_tokens_details
    return Usage(
        usage.prompt_tokens,
        prompt.cached_tokens if prompt else None,
        usage.completion_tokens,
        completion.reasoning_tokens if completion else None,
    )
