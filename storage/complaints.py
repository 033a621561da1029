"""Tells messages that say what was wrong with an answer from those that go on.

Source: wire.md 7.4 and the libraries' own texts.
"""

import re
from collections.abc import Sequence

import msgspec

from storage.records import Fault

# How Instructor, Pydantic AI, LangChain and `repair` begin when they say that an answer
# was wrong. Less would do: a tool's result that is a log tells of errors, too.
_OPENING = re.compile(
    r"validation errors?(?:\(s\))? found\b|validation error due to\b"
    r"|(?:no errors found\. )?recall the function\b"
    r"|correct (?:your|the following) json\b"
    r"|validation feedback:|\d+ validation errors?(?: for \w|:)"
    r"|error invoking tool '[^']*' with kwargs\b"
    r"|error: failed to parse structured output for tool\b",
    re.IGNORECASE,
)
_OPENING_CHARACTERS = 200

# Others quote what was wrong. A shorter message may stand in any text.
_LEAST_QUOTED_CHARACTERS = 12
_LOOKED_AT_CHARACTERS = 16_384
_LOOKED_AT_LINES = 256

_ROLES = frozenset({"user", "tool", "function"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})


class _Part(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_Part] | None = None
    output: str | list[_Part] | None = None


_decode = msgspec.json.Decoder(_Message).decode


def tells_error(element: bytes, faults: Sequence[Fault] = ()) -> bool:
    """Return whether a message tells what was wrong with the answer before it.

    It begins as the known libraries do, or it quotes one of the answer's faults.
    Shapes: `element` is a chat message or a Responses item, as JSON.
    """
    try:
        said = _decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if said.role not in _ROLES and said.type not in _RESULTS:
        return False
    content = said.content if said.role else said.output
    if isinstance(content, list):
        content = "\n".join(part.text for part in content)
    text = (content or "")[:_LOOKED_AT_CHARACTERS].lstrip()
    return _OPENING.match(text, 0, _OPENING_CHARACTERS) is not None or any(
        _quotes(text, fault) for fault in faults
    )


def _quotes(text: str, fault: Fault) -> bool:
    """Return whether a text has a fault's message, or a line that its path begins."""
    if len(fault.message) >= _LEAST_QUOTED_CHARACTERS and fault.message in text:
        return True
    dotted = fault.at[1:].replace("/", ".")
    paths = {fault.at, dotted} if "." in dotted else {fault.at}
    return bool(fault.at) and any(
        line.startswith(path) and line[len(path) :].strip()[:1] in {"", ":"}
        for line in text.splitlines()[:_LOOKED_AT_LINES]
        for path in paths
    )


__all__ = ["tells_error"]
