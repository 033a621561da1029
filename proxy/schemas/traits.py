"""What a body says that a binding may look at: its system prompt and its format."""

from collections.abc import Mapping
from hashlib import sha256
from typing import TypeVar

import msgspec

from storage.records import Endpoint

T = TypeVar("T")

FINGERPRINT_DIGITS = 16

# As `proxy.prompt` has it: elements of an array are at most one more than its commas.
_MAX_READ_BYTES = 16 * 1024 * 1024
_MAX_COMMAS = 100_000
_FEW_BYTES = 256 * 1024

_LEADING = frozenset({"system", "developer"})
_TEXT_PARTS = frozenset({"text", "input_text"})


class _Part(msgspec.Struct):
    type: str = ""
    text: str = ""


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None


class _Named(msgspec.Struct):
    name: str = ""


class _Format(msgspec.Struct):
    json_schema: _Named | None = None  # chat
    format: _Named | None = None  # responses, in `text`


_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_MESSAGE = msgspec.json.Decoder(_Message)
_STRING = msgspec.json.Decoder(str)
_FORMAT = msgspec.json.Decoder(_Format)
_FAILS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def fingerprint(endpoint: Endpoint, members: Mapping[str, msgspec.Raw]) -> str:
    """Return the fingerprint of the system prompt; "" where there is none.

    Shapes: `members` are the body's, as `proxy.splice.read` finds them; 16 hex digits
    of the SHA-256 of the leading system and developer messages' text, or of
    `instructions` and these, a line feed between two. Never raises.
    """
    texts, asked = list[str](), members.get("messages")
    if endpoint == "responses":
        texts.append(_read(_STRING, members.get("instructions")) or "")
        asked = members.get("input")
    for element in _elements(asked):
        message = _read(_MESSAGE, element)
        if message is None or message.role not in _LEADING:
            break
        texts += _texts(message.content)
    told = "\n".join(filter(None, texts))
    return sha256(told.encode()).hexdigest()[:FINGERPRINT_DIGITS] if told else ""


def format_name(members: Mapping[str, msgspec.Raw]) -> str:
    """Return the name in `response_format` or `text.format`; "" where there is none."""
    for member in ("response_format", "text"):
        asked = _read(_FORMAT, members.get(member))
        named = asked and (asked.json_schema or asked.format)
        if named:
            return named.name
    return ""


def _texts(content: str | list[_Part] | None) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part.text for part in content or [] if part.type in _TEXT_PARTS]


def _elements(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    if raw is None or bytes(memoryview(raw)[:1]) != b"[" or _is_large(raw):
        return []
    return _ELEMENTS.decode(raw)


def _is_large(raw: msgspec.Raw) -> bool:
    size_bytes = len(raw)
    return size_bytes > _MAX_READ_BYTES or (
        size_bytes > _FEW_BYTES and bytes(raw).count(b",") > _MAX_COMMAS
    )


def _read(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw | None) -> T | None:
    try:
        return None if raw is None else decoder.decode(raw)
    except _FAILS:
        return None
