"""Asking again: the words for each style, and all else as the client sent it."""

import json
import sys
from typing import Any

import pytest

from proxy.repair import FIRST, MOST_CHARACTERS, MOST_QUOTED_BYTES, asking_again, summed
from storage.records import Endpoint, Fault, Judgement, Usage

FAULT = Fault("/price", "/properties/price/type", '"x" is not a number')
ERRORS = '/price: "x" is not a number'
CALLED = (
    f"Validation Error found:\n{ERRORS}\nRecall the function correctly, fix the errors"
)
CORRECT = f"Correct your JSON ONLY RESPONSE, based on the following errors:\n{ERRORS}"


def wrong(slot: str, *faults: Fault) -> Judgement:
    return Judgement(
        slot=slot,
        schema="invoice@1",
        digest=b"",
        why="tag",
        verdict="invalid",
        faults=faults or (FAULT,),
    )


def call(name: str) -> dict[str, Any]:
    called = {"name": "pay", "arguments": '{"price":"x"}'}
    return {"id": name, "type": "function", "function": called}


def chat(**message: Any) -> dict[str, Any]:
    told = {"role": "assistant", "content": None, "refusal": None, **message}
    return {"choices": [{"index": 0, "message": told}]}


TWO_CALLS = chat(tool_calls=[call("a"), call("b")])
FUNCTION = {"name": "pay", "arguments": "{}"}
TOLD_CALL = "/choices/0/message/tool_calls/1/function/arguments"
SECOND: dict[str, Any] = {
    "choices": [
        {"message": {"role": "assistant", "content": "{}"}},
        {"message": {"role": "assistant", "content": "no"}},
    ]
}
OUTPUT: dict[str, Any] = {
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "no"}]},
        {"type": "function_call", "call_id": "c", "arguments": '{"price":"x"}'},
    ]
}


@pytest.mark.parametrize(
    ("endpoint", "answer", "slot", "told"),
    [
        ("chat", chat(content="no"), "/choices/0/message/content",
         [{"role": "assistant", "content": "no"}, {"role": "user", "content": CORRECT}]),
        ("chat", SECOND, "/choices/1/message/content",
         [{"role": "assistant", "content": "no"}, {"role": "user", "content": CORRECT}]),
        ("chat", TWO_CALLS, TOLD_CALL,
         [{"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
          {"role": "tool", "tool_call_id": "a",
           "content": "No errors found. Recall the function with the same arguments"},
          {"role": "tool", "tool_call_id": "b", "content": CALLED}]),
        ("chat", chat(function_call=FUNCTION),
         "/choices/0/message/function_call/arguments",
         [{"role": "assistant", "content": None, "function_call": FUNCTION},
          {"role": "user", "content": "Recall the function correctly, fix the errors, "
           f"exceptions found\n{ERRORS}"}]),
        ("chat", chat(content=""), "/choices/0/message/content",
         [{"role": "user", "content": CORRECT}]),  # an empty message would be refused
        ("responses", OUTPUT, "/output/1/content/0/text",
         [{"role": "assistant", "content": "no"}, {"role": "user", "content": CORRECT}]),
        ("responses", OUTPUT, "/output/2/arguments",
         [{"role": "user", "content": CALLED + ' with {"price":"x"}'}]),
    ],
)  # fmt: skip
def test_what_is_asked_again_is_what_instructor_would_ask(
    endpoint: Endpoint, answer: dict[str, Any], slot: str, told: list[dict[str, Any]]
) -> None:
    member = "messages" if endpoint == "chat" else "input"
    body = b'{"model":"m", "' + member.encode() + b'": [ {"role":"user"} ] ,"x":1.0}'
    again = asking_again(endpoint, body, answer, [wrong(slot)])
    assert again is not None
    start = body.index(b" ] ,")
    assert body[:start] == again[:start]
    assert again.endswith(b'] ,"x":1.0}')
    assert told == json.loads(again)[member][1:]


@pytest.mark.parametrize(
    ("asked", "before"),
    [
        (b'"how much?"', [{"role": "user", "content": "how much?"}]),
        (b"[]", []),
    ],
)
def test_a_response_that_was_asked_in_words_gets_a_list(
    asked: bytes, before: list[Any]
) -> None:
    body = b'{"input":' + asked + b"}"
    again = asking_again("responses", body, OUTPUT, [wrong("/output/2/arguments")])
    assert again is not None
    assert before == json.loads(again)["input"][:-1]


@pytest.mark.parametrize(
    ("endpoint", "body", "answer"),
    [
        ("completions", b'{"prompt":"x"}', {"choices": [{"text": "no"}]}),
        ("responses", b'{"input":[],"conversation":"conv_1"}', OUTPUT),
        ("chat", b'{"messages":"none"}', chat(content="no")),
        ("chat", b'{"x":1}', chat(content="no")),
        ("chat", b"not JSON", chat(content="no")),
        ("chat", b'{"messages":[],"messages":[]}', chat(content="no")),
        ("chat", b'{"messages":[]}', {"choices": []}),
        ("chat", b'{"messages":[]}', chat(content="x" * MOST_QUOTED_BYTES)),
    ],
)
def test_what_cannot_be_worded_is_not_asked(
    endpoint: Endpoint, body: bytes, answer: dict[str, Any]
) -> None:
    told = [wrong("/choices/0/message/content"), wrong("/output/2/arguments")]
    assert None is asking_again(endpoint, body, answer, told)


def test_long_errors_are_cut() -> None:
    judged = wrong("/choices/0/message/content", Fault("", "", "e" * 9999))
    again = asking_again("chat", b'{"messages":[]}', chat(content="no"), [judged])
    assert again is not None
    assert MOST_CHARACTERS == again.count(b"e" * 10) * 10


def test_what_nests_too_deep_is_not_asked_again() -> None:
    deep: Any = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    slot = "/choices/0/message/content"
    assert None is asking_again(
        "chat", b'{"messages":[]}', chat(content=deep), [wrong(slot)]
    )


def test_a_lone_surrogate_is_asked_for_again_as_it_came() -> None:
    slot = "/choices/0/message/content"
    again = asking_again(
        "chat", b'{"messages":[]}', chat(content="\ud800"), [wrong(slot)]
    )
    assert again is not None
    assert b"\\ud800" in again


def test_the_tokens_of_all_attempts_are_summed() -> None:
    second = FIRST.next("ex_1", Usage(3, None, 1, None))
    third = second.next("ex_2", Usage(4, 2, 1, None))
    assert (3, "ex_2", Usage(7, 2, 2, None)) == (
        third.number,
        third.asks_again,
        third.usage,
    )
    assert Usage() == summed(Usage(), Usage())
