"""What a list shows is read alike by the quick way and the general one."""

import json

import pytest

from proxy.answer import read_answer
from storage.records import Json, Usage
from tests.proxy.answers import MESSAGE, PLAIN, both_ways, dump, streamed, with_message
from tests.proxy.vectors import COMPLETIONS, framed


@pytest.mark.parametrize(
    ("members", "preview"),
    [
        ({"content": "x" * 301}, "x" * 300),
        ({"content": "é" * 301}, "é" * 300),
        ({"content": None, "refusal": "no"}, "no"),
        (
            {
                "content": None,
                "tool_calls": [
                    {"id": "1", "function": {"name": "f", "arguments": '{"a":1}'}},
                    {"id": "2", "function": {"name": "g", "arguments": "{}"}},
                ],
            },
            'f({"a":1})\ng({})',
        ),
        (
            {"tool_calls": [{"custom": {"name": "sh", "input": "ls"}}]},
            "Hi\nsh(ls)",
        ),
        (
            {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            'Hi\nf({"a":1})',
        ),
        ({"content": None, "function_call": {"name": "f", "arguments": "1"}}, "f(1)"),
        ({"content": [{"type": "text", "text": "a"}, {"text": "b"}, 5]}, "a\nb"),
        ({"content": None, "tool_calls": [5, {"function": {"name": None}}]}, ""),
        ({"content": "a" * 299, "refusal": "b"}, "a" * 299),
        ({"content": 5}, ""),
    ],
)
def test_a_preview_shows_what_was_said(members: dict[str, Json], preview: str) -> None:
    assert both_ways(with_message(**members)).preview == preview


def test_every_choice_counts() -> None:
    choices = [
        {"index": i, "message": MESSAGE | {"content": text}, "finish_reason": reason}
        for i, (text, reason) in enumerate(
            [("a", "stop"), ("b", None), ("c", "length")]
        )
    ]
    answer = both_ways(dump(PLAIN | {"choices": choices}))
    assert answer.finish_reasons == ("stop", None, "length")
    assert [json.loads(m)["content"] for m in answer.messages] == ["a", "b", "c"]
    assert answer.preview == "a"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, Usage()),
        (None, Usage()),
        ("9", Usage()),
        ({"prompt_tokens": 1.5, "completion_tokens": 2}, Usage(completion_tokens=2)),
        ({"prompt_tokens": "1", "completion_tokens": True}, Usage()),
        ({"prompt_tokens": -1, "completion_tokens": 2**70}, Usage()),
        ({"prompt_tokens": 1, "prompt_tokens_details": None}, Usage(1)),
        ({"prompt_tokens": 1, "prompt_tokens_details": [1]}, Usage(1)),
        (
            {
                "input_tokens": 1,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(1, 2, 3, 4),
        ),
    ],
)
def test_usage_is_what_is_a_count(usage: Json, expected: Usage) -> None:
    body = dump({"output": [], "usage": usage})
    assert both_ways(body, "responses").usage == expected
    if not (isinstance(usage, dict) and "input_tokens" in usage):
        assert both_ways(dump(PLAIN | {"usage": usage})).usage == expected


def test_usage_may_ride_on_any_chunk() -> None:
    last = {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}
    chunks = [
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
        {"choices": [last], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
        {"choices": [], "usage": {}},
    ]
    stream = framed(*map(dump, chunks), b"[DONE]")
    answer = read_answer("chat", streamed([stream]))
    assert answer.usage == Usage(prompt_tokens=5, completion_tokens=2)


def test_a_plain_response_shows_calls_and_refusals() -> None:
    output = [
        {"type": "reasoning", "summary": [], "name": "x"},
        {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "name": "sh", "input": "ls"},
        5,
    ]
    body = dump({"id": "resp_1", "status": "completed", "output": output})
    answer = both_ways(body, "responses")
    assert (answer.preview, len(answer.messages)) == ("no\nf({})\nsh(ls)", 4)
    assert answer.complete


def test_a_legacy_completion_is_told_by_its_text() -> None:
    answer = read_answer("completions", streamed([COMPLETIONS["legacy_text"]]))
    assert (answer.preview, answer.finish_reason) == ("Once", "length")
    assert (answer.messages, answer.complete) == ((), True)
    assert answer.usage == Usage(prompt_tokens=2, completion_tokens=2)


@pytest.mark.parametrize(
    ("vectors", "preview"),
    [
        ([[0.5, -1.25, 3], [1, 2, 3]], "2 vectors of 3"),
        ([[]], "1 vectors of 0"),
        ([], "0 vectors of 0"),
        (["AAAAAAAAAAA=", "AAAAAAAAAAA="], "2 vectors of 2"),
        ([None], "1 vectors of 0"),
    ],
)
def test_embeddings_are_counted(vectors: list[Json], preview: str) -> None:
    data = [{"embedding": vector} for vector in vectors]
    body = dump({"data": data, "model": "e", "usage": {"prompt_tokens": 2}})
    answer = both_ways(body, "embeddings")
    assert (answer.preview, answer.model) == (preview, "e")
    assert answer.usage == Usage(prompt_tokens=2)
    assert answer.complete
