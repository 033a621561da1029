"""Message keys: the same for an answer and its repetition, for nothing else."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.threads import answers_before, may_repeat, message_key

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a":1}'},
}


def key(message: object) -> bytes | None:
    return message_key(orjson.dumps(message))


def said(**members: object) -> dict[str, object]:
    return {"role": "assistant", **members}


SAME: list[tuple[object, object]] = [
    (said(content="hi"), said(content=[{"type": "text", "text": "hi"}])),
    (said(content="hi", refusal=None, annotations=[]), said(content="hi")),
    (said(content=None, tool_calls=[CALL]), said(content="", tool_calls=[CALL])),
    (said(tool_calls=[CALL]), said(tool_calls=[{**CALL, "id": "c2", "index": 0}])),
    (said(refusal="no"), said(content=[{"type": "refusal", "refusal": "no"}])),
    (
        {"type": "message", "id": "m", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "hi", "annotations": []}]},
        said(content="hi"),
    ),
    (
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ),
    (
        said(function_call={"name": "f", "arguments": "{}"}, content=None),
        said(function_call={"name": "f", "arguments": "{}"}),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_messages_have_equal_keys(one: object, other: object) -> None:
    assert key(one) is not None
    assert key(one) == key(other)


def test_spelling_does_not_count() -> None:
    plain = '{"role":"assistant","content":"é/"}'.encode()
    assert message_key(plain) == message_key(
        b'{ "content" : "\\u00e9\\/", "role" : "assistant" }'
    )


@given(st.text(), st.text(), st.text())
def test_different_texts_have_different_keys(one: str, name: str, args: str) -> None:
    texts = {one, one + "x", name + one + "y"}
    assert len({key(said(content=text)) for text in texts}) == len(texts)
    call = {"function": {"name": name, "arguments": args}}
    assert key(said(content=one)) != key(said(content=one, tool_calls=[call]))
    assert key(said(content=one + "z")) != key(said(refusal=one + "z"))


@pytest.mark.parametrize(
    "message",
    [
        b'{"role":"user","content":"hi"}', b'{"role":"tool","content":"hi"}', b"[1]", b"",
        b'{"role":"assistant","content":{}}', b'{"role":"assistant","content":"\\ud800"}',
        b'{"role":"assistant","content":"\xff"}', b"[" * 100_000,
        b'{"type":"function_call_output","call_id":"c","output":"x"}',
        b'{"type":"reasoning","summary":[]}',
    ],
)  # fmt: skip
def test_other_messages_have_no_key(message: bytes) -> None:
    assert message_key(message) is None


def test_answers_are_found_latest_first_with_their_run() -> None:
    items = [
        {"role": "user", "content": "q"},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "f", "arguments": "1"},
        {"type": "function_call", "name": "g", "arguments": "2"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        said(content="done"),
        {"role": "user", "content": "more"},
    ]
    found = list(answers_before([orjson.dumps(item) for item in items]))
    assert [position for position, _ in found] == [5, 3, 2, 1]
    assert found[0][1] == {key(said(content="done"))}
    assert found[3][1] == {key(items[2]), key(items[3])}


def test_a_request_without_answers_is_known_cheaply() -> None:
    assert not may_repeat(b'{"messages":[{"role":"user","content":"hi"}]}')
    assert not may_repeat(b'{"messages":[{"role":"system","content":"an assistant"}]}')
    assert may_repeat(orjson.dumps(said(content="hi")))
    assert may_repeat(orjson.dumps({"type": "custom_tool_call", "name": "f"}))
