"""What passes between the official client and llama.cpp is recorded whole."""

import json
from collections.abc import Callable
from typing import Final

import pytest
from openai import BadRequestError, OpenAI
from openai.types.chat import (
    ChatCompletionMessageParam,
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionToolParam,
)

from tests.e2e.conftest import Program, Seen

pytestmark = pytest.mark.e2e

MODEL: Final = "tiny"
HELLO: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "hello"}]
WEATHER: Final[ChatCompletionToolParam] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 8}},
            "required": ["city"],
        },
    },
}
CHOSEN: Final[ChatCompletionNamedToolChoiceParam] = {
    "type": "function",
    "function": {"name": "get_weather"},
}
PERSON: Final = {  # no free text: this server's grammar lets control characters in
    "type": "object",
    "properties": {"kind": {"enum": ["a", "b"]}, "old": {"type": "boolean"}},
    "required": ["kind", "old"],
}


def plain(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=8)
    assert answer.usage is not None


def streamed(client: OpenAI) -> None:
    chunks = client.chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=16, stream=True
    )
    assert len(list(chunks)) > 1


def streamed_tools(client: OpenAI) -> list[str]:
    """Return the pieces of the arguments as they came."""
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_tokens=64,
        tools=[WEATHER],
        tool_choice=CHOSEN,
        stream=True,
    )
    calls = [
        call.function
        for chunk in chunks
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    ]
    assert any(call and call.name for call in calls)
    return [call.arguments or "" for call in calls if call]


def schema(client: OpenAI) -> None:
    """Use llama.cpp's own spelling: its server refuses the type `json_schema`."""
    answer = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_tokens=100,
        extra_body={"response_format": {"type": "json_object", "schema": PERSON}},
    )
    content = json.loads(answer.choices[0].message.content or "")
    assert {"kind", "old"} == set(content)


def legacy(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt="hello", max_tokens=8)
    assert answer.usage is not None


def legacy_streamed(client: OpenAI) -> None:
    chunks = client.completions.create(
        model=MODEL, prompt="hello", max_tokens=16, stream=True
    )
    assert len(list(chunks)) > 1


def error(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="maximum context length"):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hello " * 3000}]
        )


CALLS: Final = (plain, streamed, streamed_tools, schema, legacy, legacy_streamed, error)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_the_answer_is_recorded_as_the_client_saw_it(
    call: Callable[[OpenAI], object], program: Program
) -> None:
    """When the client has seen the end, the file has the whole exchange."""
    call(program.client)
    seen: Seen = program.witness.answers[-1]
    shown = program.ask("show", seen.headers["x-spiritsafe-id"])
    assert ("complete", seen.status) == (shown["state"], shown["status"])
    assert bytes(seen.body) == shown["answer"].encode()
    assert (
        seen.headers["content-type"].startswith("text/event-stream")
        == (shown["streamed"])
    )


@pytest.mark.parametrize("call", [plain, schema, legacy], ids=lambda c: c.__name__)
def test_usage_is_what_the_server_counted(
    call: Callable[[OpenAI], None], program: Program
) -> None:
    call(program.client)
    seen = program.witness.answers[-1]
    counted = json.loads(seen.body)["usage"]
    usage = program.ask("show", seen.headers["x-spiritsafe-id"])["usage"]
    for name in ("prompt_tokens", "completion_tokens"):
        assert counted[name] == usage[name]


def test_streamed_tool_calls_are_put_together(program: Program) -> None:
    chunks = streamed_tools(program.client)
    seen = program.witness.answers[-1]
    shown = program.ask("show", seen.headers["x-spiritsafe-id"])
    (call,) = shown["assembled"]["choices"][0]["message"]["tool_calls"]
    assert "get_weather" == call["function"]["name"]
    assert "".join(chunks) == call["function"]["arguments"]


def test_all_of_it_is_proven(program: Program) -> None:
    """P1: the hashes of what was received, sent and answered agree with the file."""
    streamed(program.client)
    told = program.ask("verify")
    assert (True, []) == (told["sound"], told["findings"])
    assert told["exchanges"] == len(program.witness.answers)


def test_every_exchange_is_listed(program: Program) -> None:
    plain(program.client)
    listed = {row["id"] for row in program.lines("list", "--limit", "100")}
    passed = {seen.headers["x-spiritsafe-id"] for seen in program.witness.answers}
    assert passed == listed
