"""Responses, legacy completions and embeddings through the official Python client."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.joined import joined, spelled, told
from tests.clients.test_python_chat import Ticket
from tests.clients.upstream import CALLED, LEGACY
from tests.proxy.vectors import VECTORS

pytestmark = pytest.mark.anyio

FORECAST: Final = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}


async def test_a_response_is_told_and_recorded_alike(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face, tags={"env": "test"}) as here:
        answer = await here.client.ask(
            lambda c: c.responses.create(
                model="called", input="weather?", tools=[FORECAST]
            )
        )
        kept = here.one()
    assert CALLED == told(answer) == spelled(kept)
    assert ("responses", "complete") == (kept.row.endpoint, kept.row.state)
    assert (3, 2, 1, 1) == (
        kept.row.prompt_tokens,
        kept.row.cached_tokens,
        kept.row.completion_tokens,
        kept.row.reasoning_tokens,
    )
    sent = here.upstream.requests[0].json
    assert {"env": "test"} == sent["metadata"]
    assert json.loads(kept.request) == {k: sent[k] for k in ("model", "input", "tools")}


async def test_a_streamed_response_is_told_and_recorded_alike(
    tmp_path: Path, face: str
) -> None:
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        await here.client.listen(
            lambda c: c.responses.create(model="a9_completed", input="x", stream=True),
            heard=heard,
        )
        kept = here.one()
    assert "response.completed" == heard[-1].type
    assert told(heard[-1].response) == spelled(kept)
    assert VECTORS["a9_completed"] == kept.answer
    assert ("complete", "completed") == (kept.row.state, kept.row.finish_reason)


@pytest.mark.parametrize("vector", ["a9_failed", "a9_incomplete"])
async def test_a_response_that_fell_short_is_recorded_as_such(
    tmp_path: Path, face: str, vector: str
) -> None:
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        await here.client.listen(
            lambda c: c.responses.create(model=vector, input="x", stream=True),
            heard=heard,
        )
        kept = here.one()
    assert vector.replace("a9_", "response.") == heard[-1].type
    state = {"a9_failed": "incomplete", "a9_incomplete": "complete"}[vector]
    assert state == kept.row.state
    assert told(heard[-1].response) == spelled(kept)


async def test_a_helper_of_responses_gets_words_and_the_final_answer(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face) as here:
        events, final = await here.client.followed(
            lambda c: c.responses.stream(model="m", input="hello"), "get_final_response"
        )
        kept = here.one()
    words = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert len(words) > 5
    assert "".join(words) == final.output_text
    whole = spelled(kept)
    assert final.output_text == whole["output"][0]["content"][0]["text"]
    assert final.usage.to_dict() == whole["usage"]


async def test_a_parsed_response_is_typed(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.responses.parse(
                model="ticket", input="late!", text_format=Ticket
            )
        )
        kept = here.one()
    assert Ticket(label="late", urgent=True) == answer.output_parsed
    assert answer.output_text == spelled(kept)["output"][0]["content"][0]["text"]
    asked = json.loads(kept.request)["text"]["format"]
    assert ("json_schema", True) == (asked["type"], asked["strict"])


async def test_a_legacy_completion_is_told_and_recorded_alike(
    tmp_path: Path, face: str
) -> None:
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.completions.create(model="legacy", prompt="Say:")
        )
        await here.client.listen(
            lambda c: c.completions.create(
                model="legacy_text", prompt="Say:", stream=True
            ),
            heard=heard,
        )
        plain, streamed = here.kept()
    assert LEGACY == told(answer) == spelled(plain)
    words = "".join(chunk.choices[0].text for chunk in heard)
    assert "Once" == words == spelled(streamed)["choices"][0]["text"]
    assert (
        4 == heard[-1].usage.total_tokens == spelled(streamed)["usage"]["total_tokens"]
    )


@pytest.mark.parametrize("recorded", [False, True])
async def test_embeddings_come_out_as_floats(
    tmp_path: Path, face: str, *, recorded: bool
) -> None:
    """The client asks for base64 by itself and decodes it."""
    async with joined(tmp_path, face, record_embeddings=recorded) as here:
        answer = await here.client.ask(
            lambda c: c.embeddings.create(model="m", input=["a", "b"])
        )
        kept = here.kept()
    assert [[1.0, 0.0]] * 2 == [one.embedding for one in answer.data]
    sent = here.upstream.requests[0].json
    assert "base64" == sent["encoding_format"]
    assert "store" not in sent
    assert recorded == bool(kept)
    for one in kept:
        assert ("embeddings", "complete") == (one.row.endpoint, one.row.state)
        assert "AACAPwAAAAA=" == spelled(one)["data"][0]["embedding"]
