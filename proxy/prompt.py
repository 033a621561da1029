"""The first words of what a request asks, for lists of exchanges."""

import json
import re
from collections.abc import Mapping

import msgspec

from storage.records import Endpoint

PREVIEW_CHARACTERS = 300

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

# As much of a JSON string as can hold the preview: a character is one to four bytes or
# an escape, beyond the BMP two.
_START = re.compile(
    rb'"(?:[^"\\]|\\(?:u[0-9A-Fa-f]{4}|.)){0,%d}' % (4 * PREVIEW_CHARACTERS), re.DOTALL
)
_SHORT_BYTES = 4 * PREVIEW_CHARACTERS


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
    if asked is None or len(asked) > _MAX_READ_BYTES:
        return ""
    raw = bytes(asked)
    if raw[:1] == b'"':
        return text(raw)
    if raw[:1] != b"[" or (len(raw) > _FEW_BYTES and raw.count(b",") > _MAX_COMMAS):
        return ""
    for element in reversed(_elements(raw)):
        if element[:1] == b'"':
            return text(element)
        message = _message(element)
        if message is not None and message.role == "user":
            return _content(bytes(message.content))
    return ""


def text(raw: bytes) -> str:
    r"""Return the first characters of a JSON string; what is no text is replaced.

    >>> text(b'"a \\ud83d\\ude00 and a lone \\ud800"')
    'a 😀 and a lone ?'
    """
    if len(raw) > _SHORT_BYTES:
        start = _START.match(raw)
        raw = (start[0] if start else b'"') + b'"'
    try:
        return _STRING.decode(raw)[:PREVIEW_CHARACTERS]
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = str(json.loads(raw.decode("utf-8", "replace"), strict=False))
        return found[:PREVIEW_CHARACTERS].encode("utf-8", "replace").decode()


def _elements(raw: bytes) -> list[bytes]:
    return [bytes(element) for element in _ELEMENTS.decode(raw)]


def _message(element: bytes) -> _Message | None:
    try:
        return _MESSAGE.decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _content(raw: bytes) -> str:
    if raw[:1] == b'"':
        return text(raw)
    words: list[str] = []
    for element in _elements(raw) if raw[:1] == b"[" else []:
        try:
            part = _PART.decode(element)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        said = bytes(part.text)
        if part.type in _TEXT_PARTS and said[:1] == b'"':
            words.append(text(said))
    return " ".join(words)[:PREVIEW_CHARACTERS]
