"""Tells a conversation in plain turns, from a request or an answer of any shape.

Reads untrusted JSON: what is not as the API has it is told as the JSON it is.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from proxy.stitch.values import read_json, write_json
from storage.records import Endpoint, Json

SHORT_CHARACTERS = 200
LINE_CHARACTERS = 72
"""What is longer and is JSON is shown as a tree."""


class Turn(NamedTuple):
    """One entry of a conversation: who, and what it says."""

    role: str
    text: str


def asked(endpoint: Endpoint, body: bytes) -> list[Turn]:
    """Return the turns of a request; one, with all of it, where it is no JSON object.

    >>> asked("chat", b'{"messages": [{"role": "user", "content": "hi"}]}')
    [Turn(role='user', text='hi')]
    """
    try:
        request = read_json(body)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        return [Turn("request", body.decode("utf-8", "replace"))]
    if endpoint == "chat":
        return list(_items(request.get("messages")))
    if endpoint == "responses":
        system = request.get("instructions")
        first = [Turn("instructions", _text(system))] if system else []
        return [*first, *_items(request.get("input"))]
    member = "prompt" if endpoint == "completions" else "input"
    return [Turn(member, _text(request.get(member)))]


def answered(endpoint: Endpoint, answer: dict[str, Json]) -> list[Turn]:
    """Return the turns of an answer's object, one for each choice or item."""
    if endpoint == "responses":
        return list(_items(answer.get("output")))
    if endpoint == "embeddings":
        data = answer.get("data")
        count = len(data) if isinstance(data, list) else 0
        return [Turn("embeddings", f"[{count} vectors]")]
    turns = []
    for choice in _list(answer.get("choices")):
        if not isinstance(choice, dict):
            turns.append(Turn("choice", _text(choice)))
        elif endpoint == "completions":
            turns.append(Turn("completion", _text(choice.get("text"))))
        else:
            turns.extend(_items([choice.get("message")]))
    return turns


def pretty(text: str) -> str:
    r"""Return a text that is a JSON object or array as a tree, where it is long.

    >>> pretty('{"a": 1}'), pretty("[1,") == "[1,"
    ('{"a": 1}', True)
    """
    if len(text) <= LINE_CHARACTERS or text.lstrip()[:1] not in {"{", "["}:
        return text
    try:
        value = json.loads(text)
        return json.dumps(value, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return text


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _items(value: Json) -> Iterator[Turn]:
    if isinstance(value, str):
        yield Turn("user", value)
        return
    for item in _list(value):
        yield _turn(item) if isinstance(item, dict) else Turn("?", _text(item))


def _turn(item: dict[str, Json]) -> Turn:
    """Return a chat message or a Responses item as a turn."""
    kind = str(item.get("type") or "?")
    if kind in {"function_call", "custom_tool_call"}:
        return Turn("assistant", _call(item, item.get("call_id")))
    if kind in {"function_call_output", "custom_tool_call_output"}:
        return Turn(f"tool {item.get('call_id')}", _text(item.get("output")))
    if kind == "reasoning":
        return Turn("reasoning", _text(item.get("summary")))
    if "role" not in item:
        return Turn(kind, _short(item))
    role = str(item["role"])
    if item.get("tool_call_id"):
        role += f" {item['tool_call_id']}"
    lines = [
        _text(item.get(member))
        for member in ("reasoning_content", "content", "refusal")
        if item.get(member)
    ]
    for call in _list(item.get("tool_calls")):
        if isinstance(call, dict):
            called = call.get("function") or call.get("custom")
            lines.append(_call(called, call.get("id")))
    if item.get("function_call"):
        lines.append(_call(item["function_call"], None))
    return Turn(role, "\n".join(lines))


def _call(called: Json, name: Json) -> str:
    if not isinstance(called, dict):
        return f"calls {_text(called)}"
    arguments = _text(called.get("arguments", called.get("input")))
    which = f"  [{name}]" if name else ""
    return f"calls {called.get('name')}({pretty(arguments)}){which}"


def _text(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        return "\n".join(_part(part) for part in value)
    return _short(value)


def _part(part: dict[str, Json]) -> str:
    for member in ("text", "refusal"):
        if isinstance(part.get(member), str):
            return str(part[member])
    return f"[{_short(part)}]"


def _short(value: Json) -> str:
    """Return any JSON in few characters: an image stands in its message as text."""
    try:
        text = write_json(value).decode()
    except RecursionError:
        return "nested too deep to show"
    if len(text) <= SHORT_CHARACTERS:
        return text
    return f"{text[:SHORT_CHARACTERS]}… {len(text)} characters"
