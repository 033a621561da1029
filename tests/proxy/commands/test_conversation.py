"""Turns of every shape are told, and no shape breaks the telling."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.commands.conversation import Turn, answered, asked, pretty
from storage.records import Endpoint, Json
from tests.proxy.commands.recording import CALL, TOOL_TURNS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "tool_calls", "function", "text"]
            ),
            inner,
        )
    ),
)


def body(**members: Json) -> bytes:
    return json.dumps(members).encode()


def test_a_chat_with_tools() -> None:
    assert [
        Turn("system", "be brief"),
        Turn("user", "weather?"),
        Turn("assistant", 'calls get_weather({"city":"Oslo"})  [call_1]'),
        Turn("tool call_1", "rain"),
    ] == asked("chat", body(messages=TOOL_TURNS))


def test_parts_of_a_message() -> None:
    url = "data:image/png;base64," + "A" * 5000
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    (turn,) = asked("chat", body(messages=[{"role": "user", "content": parts}]))
    assert turn.text.startswith("what is this?\n[{")
    assert len(turn.text) < 300


def test_a_responses_request_and_its_items() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}
    output = {"type": "function_call_output", "call_id": "c", "output": "7"}
    assert [
        Turn("instructions", "be brief"),
        Turn("user", "hi"),
        Turn("assistant", "calls f({})  [c]"),
        Turn("tool c", "7"),
        Turn("item_reference", '{"type":"item_reference","id":"x"}'),
    ] == asked(
        "responses",
        body(
            instructions="be brief",
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                call,
                output,
                {"type": "item_reference", "id": "x"},
            ],
        ),
    )
    assert [Turn("user", "hi")] == asked("responses", body(input="hi"))


def test_answers() -> None:
    message = {"role": "assistant", "content": "hi", "refusal": None}
    legacy = {"role": "assistant", "function_call": CALL["function"]}
    assert [
        Turn("assistant", "hi"),
        Turn("assistant", 'calls get_weather({"city":"Oslo"})'),
    ] == answered("chat", {"choices": [{"message": message}, {"message": legacy}]})
    assert [Turn("completion", "x")] == answered(
        "completions", {"choices": [{"text": "x"}]}
    )
    assert [Turn("embeddings", "[2 vectors]")] == answered(
        "embeddings", {"data": [1, 2]}
    )


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_told_as_it_came(data: bytes) -> None:
    assert [Turn("request", data.decode("utf-8", "replace"))] == asked("chat", data)


@given(JSON, st.sampled_from(["chat", "responses", "completions", "embeddings"]))
def test_no_shape_breaks_the_telling(value: Json, endpoint: Endpoint) -> None:
    whole = {"messages": value, "input": value, "prompt": value, "instructions": value}
    turns = asked(endpoint, json.dumps(whole).encode())
    turns += answered(endpoint, {"choices": value, "output": value, "data": value})
    turns += answered(endpoint, {"choices": [{"message": value, "text": value}]})
    assert all(isinstance(part, str) for turn in turns for part in turn)


def test_long_json_is_shown_as_a_tree_and_other_text_as_it_is() -> None:
    value = {"city": "Oslo", "days": list(range(30)), "note": "ü"}
    text = json.dumps(value)
    assert value == json.loads(pretty(text))
    assert '{\n  "city": "Oslo",' in pretty(text)
    assert "ü" in pretty(text)
    for same in ('{"a":1}', "[" * 100, "{" + "x" * 100, "word " * 50):
        assert same == pretty(same)
    assert "[" * 5000 + "]" * 5000 == pretty("[" * 5000 + "]" * 5000)
