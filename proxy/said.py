"""Tells what an exchange says, for the index of words and for filters of its text.

Reads untrusted JSON of any shape: strings are taken from the members that hold words,
wherever they stand, and what is encoded data is passed by.
"""

from collections.abc import Iterator

from proxy import reread
from proxy.stitch.values import read_members
from storage.assemble import Kept
from storage.queries.content import Said
from storage.records import Json

SPOKEN = frozenset(
    {
        "arguments", "content", "input", "name", "output", "prompt", "reasoning",
        "reasoning_content", "refusal", "summary", "text", "transcript",
    }
)  # fmt: skip
"""Members that hold words, or what holds such members."""

ASKED = ("messages", "input", "prompt")
ANSWERED = ("choices", "output")
HOLDING = ("choices", "message", "function", "custom", "tool_calls", "function_call")

MAX_CHARACTERS = 1024 * 1024
"""Of one exchange: what is behind is not found by its words."""

MAX_DEPTH = 64


def said(kept: Kept) -> Said:
    """Return what an exchange says: what it asks and what is answered."""
    asked = read_members(kept.request)
    # Repeated in every request, so only the first of a conversation is found by it.
    system = asked.get("instructions") if kept.row.parent is None else None
    answer = reread.whole(kept) or {}
    told = [asked.get(member) for member in ASKED]
    told += [answer.get(member) for member in ANSWERED]
    error = (kept.row.error or b"").decode("utf-8", "replace")
    words: list[str] = []
    room = MAX_CHARACTERS
    for text in _texts([system, *told, error], 0):
        words.append(text[:room])
        room -= len(text)
        if room <= 0:
            break
    return Said("\n".join(words), frozenset(_called(answer)))


def _texts(value: Json, depth: int) -> Iterator[str]:
    """Yield the words of a value in their order."""
    if isinstance(value, str):
        if value:
            yield value
    elif depth == MAX_DEPTH:
        return
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in SPOKEN or (name in HOLDING and isinstance(item, dict | list)):
                yield from _texts(item, depth + 1)


def _called(answer: dict[str, Json]) -> Iterator[str]:
    """Yield the names of the tools that an answer calls."""
    for item in _objects(answer.get("output")):
        if item.get("type") in {"function_call", "custom_tool_call"}:
            yield from _name(item)
    for choice in _objects(answer.get("choices")):
        message = choice.get("message")
        if not isinstance(message, dict):
            continue
        yield from _name(message.get("function_call"))
        for call in _objects(message.get("tool_calls")):
            yield from _name(call.get("function") or call.get("custom"))


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _name(called: Json) -> Iterator[str]:
    name = called.get("name") if isinstance(called, dict) else None
    if isinstance(name, str) and name:
        yield name
