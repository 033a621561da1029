"""Chat completions through the official Python client, told and recorded alike."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from tests.clients.joined import Say, gist, joined, snapshot, spelled, told
from tests.clients.upstream import TWO_CALLS
from tests.proxy.vectors import CHAT

pytestmark = pytest.mark.anyio

HELLO: Final = [{"role": "user", "content": "hello, 🥃"}]
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
# Streams that the client's own assembling can read; on the odd ones it trips itself.
READABLE: Final = (
    "a1_text",
    "a2_tools",
    "a6_empty_id",
    "a8_1_cr",
    "a8_1_crlf",
    "a8_2_no_space",
    "a8_3_comments",
    "a8_4_two_data_lines",
    "a8_6_characters",
    "a8_7_lone_surrogate",
    "a8_9_after_done",
    "a8_9_done_spaces",
    "a8_9_no_done",
)


class Ticket(BaseModel):
    """What a support message is about."""

    label: str
    urgent: bool


async def test_a_plain_answer_is_told_and_recorded_alike(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.create(model="m", messages=HELLO)
        )
        kept = here.one()  # committed before the client had the whole answer
    assert answer.to_dict() == spelled(kept)
    assert "req_1" == answer._request_id
    assert "complete" == kept.row.state
    assert 21 == (kept.row.prompt_tokens or 0) + (kept.row.completion_tokens or 0)
    assert {"model": "m", "messages": HELLO} == json.loads(kept.request)
    assert here.upstream.requests[0].json == {
        "model": "m",
        "messages": HELLO,
        "store": True,
    }


async def test_the_upstream_gets_the_clients_own_headers(
    tmp_path: Path, face: str
) -> None:
    """Every header of the client arrives, but for those that belong to the hop."""
    options: dict[str, Any] = {"organization": "org-1", "project": "proj-1"}
    async with joined(tmp_path, face, options=options) as here:
        await here.client.ask(
            lambda c: c.chat.completions.create(
                model="m", messages=HELLO, extra_headers={"x-client-request-id": "r-7"}
            )
        )
    told = here.upstream.requests[0].headers
    assert "Bearer sk-test" == told["authorization"]
    assert "org-1" == told["openai-organization"]
    assert "proj-1" == told["openai-project"]
    assert "r-7" == told["x-client-request-id"]
    assert "python" == told["x-stainless-lang"]
    assert "0" == told["x-stainless-retry-count"]
    assert f"127.0.0.1:{here.upstream.port}" == told["host"]
    asynchronous = told["user-agent"].startswith("AsyncOpenAI/Python")
    assert (face == "async") == asynchronous


@pytest.mark.parametrize("vector", READABLE)
async def test_the_record_spells_what_the_client_makes_of_a_stream(
    tmp_path: Path, face: str, vector: str
) -> None:
    """The client's own reading of its stream agrees with ours, choice by choice."""
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        await here.client.listen(
            lambda c: c.chat.completions.create(
                model=vector,
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            ),
            heard=heard,
        )
        kept = here.one()  # the client has `[DONE]`: so it is on disk
    assert gist(snapshot(heard)) == gist(spelled(kept))
    assert "complete" == kept.row.state
    assert CHAT[vector] == kept.answer


async def test_a_streaming_helper_gets_words_and_the_final_answer(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face) as here:
        events, final = await here.client.followed(
            lambda c: c.chat.completions.stream(
                model="m", messages=HELLO, stream_options={"include_usage": True}
            ),
            "get_final_completion",
        )
        kept = here.one()
    words = [event.delta for event in events if event.type == "content.delta"]
    assert len(words) > 5
    assert "".join(words) == final.choices[0].message.content
    assert gist(told(final)) == gist(spelled(kept))
    assert 21 == final.usage.total_tokens


async def test_parallel_calls_of_a_tool_arrive_whole(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.create(
                model="two-calls", messages=HELLO, tools=[WEATHER]
            )
        )
        kept = here.one()
    assert json.loads(TWO_CALLS) == answer.to_dict() == spelled(kept)
    assert "tool_calls" == kept.row.finish_reason
    assert [WEATHER] == json.loads(kept.request)["tools"]


async def test_streamed_calls_of_a_tool_are_parsed_by_the_helper(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face) as here:
        _, final = await here.client.followed(
            lambda c: c.chat.completions.stream(
                model="m", messages=HELLO, tools=[WEATHER]
            ),
            "get_final_completion",
        )
        kept = here.one()
    (call,) = final.choices[0].message.tool_calls
    assert {"city": "scripted"} == call.function.parsed_arguments
    assert gist(told(final)) == gist(spelled(kept))


async def test_a_tool_loop_is_one_thread(tmp_path: Path, face: str) -> None:
    """The answer to the tool's result is recorded as the child of the call."""
    async with joined(tmp_path, face) as here:
        called = await here.client.ask(
            lambda c: c.chat.completions.create(
                model="m", messages=HELLO, tools=[WEATHER]
            )
        )
        message = called.choices[0].message
        result = {
            "role": "tool",
            "tool_call_id": message.tool_calls[0].id,
            "content": "4 C",
        }
        await here.client.ask(
            lambda c: c.chat.completions.create(
                model="m", messages=[*HELLO, message, result], tools=[WEATHER]
            )
        )
        first, second = here.kept()
    assert first.row.id == second.parent_id


async def test_parse_gives_a_typed_answer(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.parse(
                model="m", messages=HELLO, response_format=Ticket
            )
        )
        kept = here.one()
    message = answer.choices[0].message
    assert Ticket(label="scripted", urgent=True) == message.parsed
    assert gist(told(answer)) == gist(spelled(kept))
    asked = json.loads(kept.request)["response_format"]["json_schema"]
    assert ("Ticket", True) == (asked["name"], asked["strict"])


async def test_a_streamed_parse_gives_a_typed_answer(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        _, final = await here.client.followed(
            lambda c: c.chat.completions.stream(
                model="m", messages=HELLO, response_format=Ticket
            ),
            "get_final_completion",
        )
        kept = here.one()
    assert Ticket(label="scripted", urgent=True) == final.choices[0].message.parsed
    assert gist(told(final)) == gist(spelled(kept))


async def test_two_choices_arrive_and_are_kept(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.create(model="m", messages=HELLO, n=2)
        )
        kept = here.one()
    assert [0, 1] == [choice.index for choice in answer.choices]
    assert answer.to_dict() == spelled(kept)


async def test_two_streamed_choices_are_kept_apart(tmp_path: Path, face: str) -> None:
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        await here.client.listen(
            lambda c: c.chat.completions.create(
                model="m", messages=HELLO, n=2, stream=True
            ),
            heard=heard,
        )
        kept = here.one()
    choices = [chunk.choices[0].index for chunk in heard]
    assert [0, 1, 0, 1] == choices[:4]
    assert gist(snapshot(heard)) == gist(spelled(kept))
    assert 2 == len(spelled(kept)["choices"])


async def test_a_second_choice_may_begin_first(tmp_path: Path, face: str) -> None:
    """Wire vector A3; the client's own assembling cannot read it, its stream can."""
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        await here.client.listen(
            lambda c: c.chat.completions.create(
                model="a3_two_choices", messages=HELLO, n=2, stream=True
            ),
            heard=heard,
        )
        kept = here.one()
    texts = {0: "", 1: ""}
    for chunk in heard:
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
    assert {0: "A", 1: "Bb"} == texts
    whole = spelled(kept)["choices"]
    assert [
        (c["index"], c["message"]["content"], c["finish_reason"]) for c in whole
    ] == [(0, "A", "length"), (1, "Bb", "stop")]
    assert [1, 2] == [len(c["logprobs"]["content"]) for c in whole]


async def test_many_calls_at_once_are_all_kept(tmp_path: Path) -> None:
    """Nobody's answer is taken for another's, on one client and its connections."""

    def say(name: str) -> Say:
        return lambda c: c.chat.completions.create(model=name, messages=HELLO)

    names = [f"m-{n}" for n in range(40)]
    async with joined(tmp_path, "async") as here:
        calls = [here.client.ask(say(name)) for name in names]
        answers = await asyncio.gather(*calls)
        kept = here.kept()
    assert names == [answer.model for answer in answers]
    assert set(names) == {one.row.model_served for one in kept}
    assert all(spelled(one)["model"] == one.row.model_asked for one in kept)
