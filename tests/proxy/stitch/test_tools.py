"""Tool calls are told apart, also by broken indexes."""

import json

import pytest

from tests.proxy.stitch.spelling import chat, delta, message, read
from tests.proxy.vectors import framed


@pytest.mark.parametrize(
    "name", ["a2_tools", "a6_same_id", "a6_empty_id", "a6_from_one"]
)
def test_a2_interleaved_tool_calls_go_by_index(name: str) -> None:
    stitched = chat(name)
    assert message(stitched)["content"] is None
    assert message(stitched)["tool_calls"] == [
        {
            "id": "call_a",
            "type": "function",
            "function": {"name": "f", "arguments": r'{"q":"\u00e9"}'},
        },
        {
            "id": "call_b",
            "type": "function",
            "function": {"name": "g", "arguments": "{}"},
        },
    ]
    assert (stitched.complete, stitched.flags) == (True, ())


@pytest.mark.parametrize(
    "name", ["a6_same_index", "a6_no_index", "a6_object_arguments"]
)
def test_a6_a_new_id_opens_a_new_call(name: str) -> None:
    calls = message(chat(name))["tool_calls"]
    assert [call["id"] for call in calls] == ["c1", "c2"]
    arguments = [json.loads(call["function"]["arguments"]) for call in calls]
    assert arguments == [{"a": 1}, {"a": 2}]
    assert chat(name).flags == ()


def test_a6_calls_that_ran_into_one_are_flagged() -> None:
    stitched = chat("a6_run_on")
    call = message(stitched)["tool_calls"][0]
    assert call["function"]["arguments"] == '{"a":1}{"a":2}'
    assert stitched.flags == ("tool_args_concatenated",)


def test_a6_a_fragment_without_index_and_id_continues_the_last_call() -> None:
    calls = [
        {"id": "c1", "function": {"name": "f", "arguments": "{"}},
        {"function": {"arguments": "}"}},
        {"id": "c2", "function": {"name": "g", "arguments": "["}},
        {"function": {"arguments": "]"}},
        {"id": "c1", "function": {"arguments": " "}},
    ]
    stitched = read("chat", framed(*(delta(tool_calls=[call]) for call in calls)))
    assert [c["function"]["arguments"] for c in message(stitched)["tool_calls"]] == [
        "{} ",
        "[]",
    ]


def test_custom_calls_and_unknown_members_are_kept() -> None:
    first = {
        "index": 0,
        "id": "c",
        "type": "custom",
        "custom": {"name": "sh", "input": "l"},
    }
    second = {"index": 0, "custom": {"input": "s"}, "extra_content": {"x": 1}}
    stitched = read(
        "chat", framed(delta(tool_calls=[first]), delta(tool_calls=[second]))
    )
    assert message(stitched)["tool_calls"] == [
        {
            "id": "c",
            "type": "custom",
            "custom": {"name": "sh", "input": "ls"},
            "extra_content": {"x": 1},
        }
    ]


def test_a8_6_a_surrogate_pair_split_in_arguments_is_whole_again() -> None:
    call = message(chat("a8_6_surrogate_pair"))["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"q": "🥃"}


def test_the_old_function_call_is_put_together() -> None:
    parts = ({"name": "f", "arguments": "{"}, {"arguments": "}"}, {"arguments": None})
    stitched = read("chat", framed(*(delta(function_call=part) for part in parts)))
    assert message(stitched)["function_call"] == {"name": "f", "arguments": "{}"}
