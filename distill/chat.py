"""Messages as training files take them, read from chat completions.

Reading keeps the keys named here and drops all others, so what only answers carry
(`annotations`, `reasoning_content`, `logprobs`, the `index` of a tool call) and what
vendors add never reaches a training file.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from distill.errors import Unfit
from distill.pairs import Json

T = TypeVar("T")


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """A JSON object with the keys that are read; None is the same as absent."""


class ImageUrl(Shape, frozen=True, kw_only=True):
    """Where an image is."""

    url: str
    detail: str | None = None


class Part(Shape, frozen=True, kw_only=True):
    """One part of a message's content."""

    type: str
    text: str | None = None
    image_url: ImageUrl | None = None
    refusal: str | None = None


class FunctionCall(Shape, frozen=True, kw_only=True):
    """A function that the model calls; `arguments` is the text it wrote."""

    name: str
    arguments: str


class ToolCall(Shape, frozen=True, kw_only=True):
    """One call of a tool; only calls of functions can be trained."""

    id: str
    type: str  # `function` or `custom`
    function: FunctionCall | None = None


class Message(Shape, frozen=True, kw_only=True):
    """One entry of a conversation."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    weight: int | None = None
    function_call: FunctionCall | None = None
    refusal: str | None = None
    audio: Json | None = None


class Prompt(Shape, frozen=True, kw_only=True):
    """What a chat request says of an example."""

    messages: list[Message]
    tools: list[Json] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Json] | None = None


class Choice(Shape, frozen=True, kw_only=True):
    """One answer, and why it ended."""

    message: Message
    finish_reason: str | None = None


class Answer(Shape, frozen=True, kw_only=True):
    """A chat completion."""

    choices: list[Choice]


def shaped(value: Any, shape: type[T]) -> T:
    """Return `value` read as `shape`.

    Raises: `Unfit` where the types are others.
    """
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise Unfit("unreadable") from error


def prompt(request: Json, wrong: frozenset[int] = frozenset()) -> Prompt:
    """Return the messages and tools of a chat request, legacy functions as tools.

    Shapes: `wrong` are the places of messages that are not to be learnt.
    """
    read = shaped(request, Prompt)
    tools = list(read.tools or ())
    if any(tool.get("type") != "function" for tool in tools):
        raise Unfit("unsupported_tool")
    tools += ({"type": "function", "function": f} for f in read.functions or ())
    return Prompt(
        messages=[
            unlearnt(message) if at in wrong else message
            for at, message in enumerate(read.messages)
        ],
        tools=tools or None,
        parallel_tool_calls=False if read.functions else read.parallel_tool_calls,
    )


def unlearnt(message: Message) -> Message:
    """Return a message as one that training only reads (wire.md 6.3)."""
    return msgspec.structs.replace(message, weight=0)


def choices(answer: Json) -> list[Choice]:
    """Return the choices of a chat completion."""
    return shaped(answer, Answer).choices


def tidy(messages: Sequence[Message]) -> list[Message]:
    """Return `messages` as training files want them.

    `developer` becomes `system`, function calls become tool calls, refusals the text
    they are.
    Raises: `Unfit` where a message has nothing to train on or the turns do not fit.
    """
    tidied = [_plain(message) for message in _modern(messages)]
    _refuse_broken_turns(tidied)
    return tidied


def _modern(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield `messages` with legacy functions rewritten (wire.md A10, last form)."""
    call_id = ""
    for number, message in enumerate(messages):
        call = message.function_call
        if call is not None and not message.tool_calls:
            call_id = f"call_{number}"
            compact = FunctionCall(name=call.name, arguments=_compact(call.arguments))
            calls = [ToolCall(id=call_id, type="function", function=compact)]
            yield msgspec.structs.replace(message, tool_calls=calls)
        elif message.role == "function":
            yield msgspec.structs.replace(message, role="tool", tool_call_id=call_id)
        else:
            yield message


def _compact(arguments: str) -> str:
    try:
        return msgspec.json.format(arguments, indent=-1)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return arguments  # the model wrote no JSON: its text is the answer


def _plain(message: Message) -> Message:
    """Return one message with what its role may have."""
    if message.audio is not None:
        raise Unfit("unsupported_content")
    calls = message.tool_calls or None
    if any(call.type != "function" or not call.function for call in calls or ()):
        raise Unfit("unsupported_tool")
    content = message.content
    if isinstance(content, list):
        content = [_plain_part(part, role=message.role) for part in content]
    content = content or message.refusal
    if not content and not calls:
        raise Unfit("empty_message")
    return Message(
        role="system" if message.role == "developer" else message.role,
        content=content or None,
        name=message.name if message.role != "tool" else None,
        tool_calls=calls,
        tool_call_id=message.tool_call_id,
        weight=message.weight,
    )


def _plain_part(part: Part, *, role: str) -> Part:
    if part.type == "text" and part.text is not None:
        return Part(type="text", text=part.text)
    if part.type == "refusal" and part.refusal is not None:
        return Part(type="text", text=part.refusal)
    image = part.image_url if part.type == "image_url" and role == "user" else None
    if image is not None and image.url.startswith(("https://", "http://", "data:")):
        return Part(type="image_url", image_url=image)
    raise Unfit("unsupported_content")


def _refuse_broken_turns(messages: Sequence[Message]) -> None:
    """Raise where tool calls and results, or two answers in a row, do not fit.

    Source: wire.md 1.2 and 6.4: servers refuse such lines with an unhelpful message.
    """
    waiting: set[str] = set()
    before = ""
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                raise Unfit("broken_turns")
            waiting.remove(message.tool_call_id)
        elif waiting or (message.role == before == "assistant"):
            raise Unfit("broken_turns")
        waiting |= {call.id for call in message.tool_calls or ()}
        before = message.role
