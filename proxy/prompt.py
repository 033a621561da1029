"""The first words of what a request asks, for lists of exchanges."""

import json
import re
from collections.abc import Mapping

import msgspec

from storage.records import Endpoint
from storage.writable import writable

PREVIEW_CHARACTERS = 300
TEXT = ord('"')
"""What `kind` tells of a string."""

_ARRAY = ord("[")

# Beyond these the preview stays empty: a million elements would hold the loop for
# 150 ms (2026-11-21, J-14). Commas bound the number of elements from above.
_MAX_READ_BYTES = 16 * 1024 * 1024
_MAX_COMMAS = 100_000
_FEW_BYTES = 256 * 1024

_ASKED: dict[Endpoint, str] = {
    "chat": "messages",
    "responses": "input",
    "completions": "prompt",
    "embeddings": "input",
}
_TEXT_PARTS = frozenset({"text", "input_text"})

# As many bytes as hold the preview if none of it is escaped. Where this cuts a letter
# in two, or where there are escapes or what is no text, the pattern (7 µs) says what is
# whole: a character has one to four bytes or is an escape, beyond the BMP two.
_ENOUGH_BYTES = 4 * PREVIEW_CHARACTERS
_START = re.compile(
    rb'"(?:[^"\\]|\\(?:u[0-9A-Fa-f]{4}|.)){0,%d}' % _ENOUGH_BYTES, re.DOTALL
)


class _Message(msgspec.Struct):
    role: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Part(msgspec.Struct):
    type: str | None = None
    text: msgspec.Raw = msgspec.Raw(b"null")


_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(_Message)
_PART = msgspec.json.Decoder(_Part)
_STRING = msgspec.json.Decoder(str)


def preview(endpoint: Endpoint, members: Mapping[str, msgspec.Raw]) -> str:
    """Return the start of the last user message, of the input or of the prompt.

    Never raises; empty where there is no text, and where the request is very large.
    """
    asked = members.get(_ASKED[endpoint])
    if asked is None:
        return ""
    begins = kind(asked)
    if begins == TEXT:
        return text(asked)
    if begins != _ARRAY or _is_large(asked):
        return ""
    for element in reversed(_ELEMENTS.decode(asked)):
        if kind(element) == TEXT:
            return text(element)
        message = _message(element)
        if message is not None and message.role == "user":
            return _content(message.content)
    return ""


def text(raw: bytes | msgspec.Raw) -> str:
    r"""Return the first characters of a JSON string; what is no text is replaced.

    >>> text(b'"a \\ud83d\\ude00 and a lone \\ud800"')
    'a 😀 and a lone ?'
    """
    if len(raw) <= _ENOUGH_BYTES:
        said = _decode(raw)
    else:
        said = _decode(bytes(memoryview(raw)[:_ENOUGH_BYTES]) + b'"')
        if said is not None and len(said) < PREVIEW_CHARACTERS:
            said = None
    if said is None:
        said = _decode_start(memoryview(raw))
    return said[:PREVIEW_CHARACTERS]


def _decode(spelled: bytes | msgspec.Raw) -> str | None:
    try:
        return _STRING.decode(spelled)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _decode_start(view: memoryview) -> str:
    start = _START.match(view)
    spelled = (start[0] if start else b'"') + b'"'
    found = str(json.loads(spelled.decode("utf-8", "replace"), strict=False))
    return writable(found)


def kind(raw: msgspec.Raw) -> int:
    """Return the first byte of a JSON text, which tells what it is."""
    return memoryview(raw)[0]


def _is_large(raw: msgspec.Raw) -> bool:
    size_bytes = len(raw)
    return size_bytes > _MAX_READ_BYTES or (
        size_bytes > _FEW_BYTES and bytes(raw).count(b",") > _MAX_COMMAS
    )


def _message(element: msgspec.Raw) -> _Message | None:
    try:
        return _MESSAGE.decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _content(raw: msgspec.Raw) -> str:
    begins = kind(raw)
    if begins == TEXT:
        return text(raw)
    words: list[str] = []
    for element in _ELEMENTS.decode(raw) if begins == _ARRAY else []:
        try:
            part = _PART.decode(element)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if part.type in _TEXT_PARTS and kind(part.text) == TEXT:
            words.append(text(part.text))
    return " ".join(words)[:PREVIEW_CHARACTERS]
