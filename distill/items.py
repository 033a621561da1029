"""Messages as training files take them, read from the Responses API."""

from collections.abc import Sequence

import msgspec

from distill.chat import (
    Choice,
    FunctionCall,
    ImageUrl,
    Message,
    Part,
    Prompt,
    Shape,
    ToolCall,
    shaped,
    unlearnt,
)
from distill.errors import Unfit
from distill.pairs import Json


class ItemPart(Shape, frozen=True, kw_only=True):
    """One part of an item's content; an image's URL stands here directly."""

    type: str
    text: str | None = None
    image_url: str | None = None
    detail: str | None = None
    refusal: str | None = None


class Item(Shape, frozen=True, kw_only=True):
    """One entry of `input` or `output`."""

    type: str = "message"
    role: str | None = None
    content: str | list[ItemPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[ItemPart] | None = None


class Tool(Shape, frozen=True, kw_only=True):
    """A tool; functions stand flat here."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class Request(Shape, frozen=True, kw_only=True):
    """What a Responses request says of an example."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    conversation: str | Json | None = None
    prompt: Json | None = None


class Details(Shape, frozen=True, kw_only=True):
    """Why a response is incomplete."""

    reason: str | None = None


class Response(Shape, frozen=True, kw_only=True):
    """The answer object."""

    status: str | None = None
    output: list[Item]
    incomplete_details: Details | None = None


FINISHES = {"max_output_tokens": "length", "content_filter": "content_filter"}


def prompt(request: Json, wrong: frozenset[int] = frozenset()) -> Prompt:
    """Return the input and tools of a Responses request, in chat's shapes.

    Shapes: `wrong` are the places of items that are not to be learnt.
    Raises: `Unfit` where the server holds a part of the prompt.
    """
    read = shaped(request, Request)
    if read.previous_response_id or read.conversation or read.prompt:
        raise Unfit("prompt_elsewhere")
    system = [Message(role="system", content=read.instructions)]
    asked = read.input or ""
    said = [Item(role="user", content=asked)] if isinstance(asked, str) else asked
    return Prompt(
        messages=system[: bool(read.instructions)] + _messages(said, wrong),
        tools=[_nested(tool) for tool in read.tools or ()] or None,
        parallel_tool_calls=read.parallel_tool_calls,
    )


def choices(answer: Json) -> list[Choice]:
    """Return the one answer of a response, its items joined to one message."""
    read = shaped(answer, Response)
    finish = "stop"
    if read.status != "completed":
        reason = read.incomplete_details and read.incomplete_details.reason
        finish = FINISHES.get(reason or "", "failed")
    joined = _messages(read.output) or [Message(role="assistant")]
    if len(joined) > 1:
        raise Unfit("broken_turns")
    return [Choice(message=joined[0], finish_reason=finish)]


def _messages(
    items: Sequence[Item], wrong: frozenset[int] = frozenset()
) -> list[Message]:
    """Return items as messages; calls of one turn join the assistant's message."""
    messages: list[Message] = []
    for at, item in enumerate(items):
        if item.type == "function_call":
            call = ToolCall(
                id=item.call_id or "",
                type="function",
                function=FunctionCall(
                    name=item.name or "", arguments=item.arguments or ""
                ),
            )
            if not messages or messages[-1].role != "assistant":
                messages.append(Message(role="assistant"))
            calls = [*(messages[-1].tool_calls or ()), call]
            messages[-1] = msgspec.structs.replace(messages[-1], tool_calls=calls)
        elif item.type != "reasoning":
            messages.append(_message(item))
        if at in wrong:
            messages[-1] = unlearnt(messages[-1])
    return messages


def _message(item: Item) -> Message:
    if item.type == "function_call_output":
        content = _content(item.output)
        return Message(role="tool", tool_call_id=item.call_id or "", content=content)
    if item.type == "item_reference":
        raise Unfit("prompt_elsewhere")
    if item.type != "message" or item.role is None:
        raise Unfit("unsupported_tool")
    if item.role == "assistant" and isinstance(item.content, list):
        return _answer(item.content)
    return Message(role=item.role, content=_content(item.content))


def _answer(parts: Sequence[ItemPart]) -> Message:
    if any(part.type not in {"output_text", "refusal"} for part in parts):
        raise Unfit("unsupported_content")
    return Message(
        role="assistant",
        content="".join(part.text or "" for part in parts) or None,
        refusal="".join(part.refusal or "" for part in parts) or None,
    )


def _content(content: str | list[ItemPart] | None) -> str | list[Part] | None:
    if not isinstance(content, list):
        return content
    return [_part(part) for part in content]


def _part(part: ItemPart) -> Part:
    if part.type in {"input_text", "output_text", "text"}:
        return Part(type="text", text=part.text)
    if part.type == "input_image" and part.image_url is not None:
        image = ImageUrl(url=part.image_url, detail=part.detail)
        return Part(type="image_url", image_url=image)
    raise Unfit("unsupported_content")


def _nested(tool: Tool) -> Json:
    if tool.type != "function" or tool.name is None:
        raise Unfit("unsupported_tool")
    function = msgspec.to_builtins(tool)
    del function["type"]
    return {"type": "function", "function": function}
