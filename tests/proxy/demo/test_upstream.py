"""The scripted upstream, asked through the official client over a real socket."""

from collections.abc import Iterator

import pytest
from openai import APIStatusError, OpenAI

from proxy.demo.script import SENTENCE, sample
from proxy.demo.upstream import serving


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    with serving() as url, OpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


def test_a_stream_spells_the_same_answer_and_says_its_usage(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "x"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    words = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert SENTENCE == "".join(words)
    assert "stop" == chunks[-2].choices[0].finish_reason
    assert chunks[-1].usage is not None
    assert 21 == chunks[-1].usage.total_tokens


def test_streamed_tool_calls_spell_their_arguments(client: OpenAI) -> None:
    stream = client.chat.completions.stream(
        model="m",
        messages=[{"role": "user", "content": "x"}],
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "strict": True,
                    "parameters": {
                        "type": "object",
                        "properties": {"a": {"type": "integer"}},
                    },
                },
            }
        ],
    )
    with stream as events:
        (call,) = events.get_final_completion().choices[0].message.tool_calls or []
    assert ("f", '{"a":1}') == (call.function.name, call.function.arguments)


def test_a_response_is_the_same_plain_and_streamed(client: OpenAI) -> None:
    whole = client.responses.create(model="m", input="x")
    with client.responses.stream(model="m", input="x") as stream:
        deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
        assert whole.usage == stream.get_final_response().usage
    assert SENTENCE == whole.output_text == "".join(deltas)


def test_embeddings_come_as_base64_and_models_as_a_list(client: OpenAI) -> None:
    answer = client.embeddings.create(model="m", input=["a", "b"])
    assert [[1.0, 0.0], [1.0, 0.0]] == [item.embedding for item in answer.data]
    assert ["scripted"] == [model.id for model in client.models.list()]


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_an_error_is_asked_for_by_model_name(client: OpenAI, status: int) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.embeddings.create(model=f"error-{status}", input="x")
    assert status == caught.value.status_code
    assert SENTENCE in caught.value.message


def test_an_unknown_path_is_no_answer(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        client.moderations.create(input="x")
    assert 404 == caught.value.status_code


def test_a_sample_keeps_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": ["a", "b"]},
            "ages": {"type": "array", "items": {"type": "number"}},
        },
    }
    assert {"name": "scripted", "kind": "a", "ages": [1.5]} == sample(schema)
