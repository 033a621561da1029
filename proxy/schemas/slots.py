"""Lists the places of an answer whose JSON is judged."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from proxy.stitch.values import write_json
from storage.records import Endpoint, Json

Kind: TypeAlias = Literal["text", "call", "refusal", "missing", "foreign"]
"""What was written; or a call that was due, and one of a tool that was not offered."""

CUT_SHORT = frozenset({"length", "content_filter", "max_tokens", "max_output_tokens"})

WORKED_ON = frozenset({"queued", "in_progress"})
"""States of a Response that is made in the background."""

NOT_ENDED = WORKED_ON | {"incomplete", "failed", "cancelled"}


class Slot(Struct, frozen=True):
    """One place: a JSON pointer into the answer, and what stands there.

    Shapes: `text` is what is written there, arguments that a server sends as an object
    written out; `tool` is the name of a call's tool.
    """

    at: str
    kind: Kind
    text: str
    tool: str = ""


class Part(Struct, frozen=True):
    """A choice, or the whole of a Response: what has one schema for its text.

    Shapes: `at` is where a text would stand; `ended` says whether the model came to
    its own end there; `calls_else` that it called what is no function, of which
    nothing is judged.
    """

    at: str
    ended: bool
    slots: tuple[Slot, ...] = ()
    calls_else: bool = False

    def of(self, kind: Kind) -> list[Slot]:
        """Return the slots of one kind."""
        return [slot for slot in self.slots if slot.kind == kind]


def parts(endpoint: Endpoint, answer: dict[str, Json]) -> list[Part]:
    """Return the parts of an assembled answer; what has another form is passed by."""
    if endpoint == "responses":
        return [_response(answer)]
    if endpoint == "chat":
        return [_choice(index, choice) for index, choice in _objects(answer, "choices")]
    if endpoint == "completions":
        return [_text(index, choice) for index, choice in _objects(answer, "choices")]
    return []


def _choice(index: int, choice: dict[str, Json]) -> Part:
    at = f"/choices/{index}/message"
    message = choice.get("message")
    slots = tuple(_message(at, message)) if isinstance(message, dict) else ()
    return Part(f"{at}/content", choice.get("finish_reason") not in CUT_SHORT, slots)


def _message(at: str, message: dict[str, Json]) -> Iterator[Slot]:
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield Slot(f"{at}/refusal", "refusal", refusal)
    content = message.get("content")
    if isinstance(content, str):
        yield from _written(f"{at}/content", content)
    for index, part in _objects(message, "content"):  # as some servers send it
        yield from _part(f"{at}/content/{index}", part)
    for index, call in _objects(message, "tool_calls"):
        yield from _call(f"{at}/tool_calls/{index}/function", call.get("function"))
    yield from _call(f"{at}/function_call", message.get("function_call"))


def _text(index: int, choice: dict[str, Json]) -> Part:
    at = f"/choices/{index}/text"
    text = choice.get("text")
    slots = tuple(_written(at, text)) if isinstance(text, str) else ()
    return Part(at, choice.get("finish_reason") not in CUT_SHORT, slots)


def _response(answer: dict[str, Json]) -> Part:
    slots: list[Slot] = []
    calls_else = False
    for index, item in _objects(answer, "output"):
        at, kind = f"/output/{index}", item.get("type")
        if kind == "message":
            for number, part in _objects(item, "content"):
                slots += _part(f"{at}/content/{number}", part)
        elif kind == "function_call":
            slots += _call(at, item)
        elif isinstance(kind, str) and kind.endswith("_call"):
            calls_else = True
    ended = answer.get("status") not in NOT_ENDED
    return Part("/output", ended, tuple(slots), calls_else)


def _part(at: str, part: dict[str, Json]) -> Iterator[Slot]:
    text, refusal = part.get("text"), part.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield Slot(f"{at}/refusal", "refusal", refusal)
    elif isinstance(text, str):
        yield from _written(f"{at}/text", text)


def _written(at: str, text: str) -> Iterator[Slot]:
    if text and not text.isspace():
        yield Slot(at, "text", text)


def _call(at: str, called: Json) -> Iterator[Slot]:
    if not isinstance(called, dict):
        return
    name, arguments = called.get("name"), called.get("arguments")
    if isinstance(name, str):
        yield Slot(f"{at}/arguments", "call", _spelled(arguments), name)


def _spelled(arguments: Json) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else write_json(arguments).decode()


def _objects(
    holder: dict[str, Json], name: str
) -> Iterator[tuple[int, dict[str, Json]]]:
    items = holder.get(name)
    if isinstance(items, list):
        yield from (
            (index, item) for index, item in enumerate(items) if isinstance(item, dict)
        )
