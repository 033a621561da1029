"""Objects of the stored API, from requests and answers of any shape."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stored.parameters import Paging
from proxy.stored.shapes import (
    completion,
    envelope,
    input_items,
    messages,
    part_of,
)

ITEMS: list[dict[str, Any]] = [{"id": name} for name in "abcde"]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "type", "id", "message", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


def test_a_message_of_parts_is_their_text_with_the_parts_beside_it() -> None:
    parts = [
        {"type": "text", "text": "look: "},
        {"type": "image_url", "image_url": {"url": "data:,"}},
        {"type": "text", "text": "nice?"},
    ]
    told = [
        {"role": "system", "content": "be brief", "name": "boss"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    assert [
        {"id": "c-0", "role": "system", "content": "be brief", "name": "boss", "content_parts": None, "refusal": None},
        {"id": "c-1", "role": "user", "content": "look: nice?", "name": None, "content_parts": parts, "refusal": None},
        {"id": "c-2", "role": "assistant", "content": None, "name": None, "content_parts": None, "refusal": None, "tool_calls": [{"id": "call_1"}]},
        {"id": "c-3", "role": "tool", "content": "rain", "name": None, "content_parts": None, "refusal": None, "tool_call_id": "call_1"},
    ] == messages("c", {"messages": told})  # fmt: skip


def test_a_completion_repeats_what_it_was_asked_with() -> None:
    asked = {"seed": 7, "top_p": None, "user": "u-1", "tools": [1], "n": 2}
    told = completion(
        {"id": "x", "created": 5, "choices": [], "metadata": {"no": "no"}},
        asked,
        name="c-1",
        created=9,
        request_id="req_1",
        metadata={"task": "a"},
    )
    assert {
        "object": "chat.completion",
        "id": "c-1",
        "created": 5,
        "choices": [],
        "usage": None,
        "service_tier": None,
        "system_fingerprint": None,
        "request_id": "req_1",
        "tool_choice": None,
        "seed": 7,
        "top_p": 1.0,
        "temperature": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "tools": [1],
        "response_format": None,
        "input_user": "u-1",
        "metadata": {"task": "a"},
    } == told


@given(anything, anything)
def test_no_request_and_no_answer_is_too_odd(request: Any, answer: Any) -> None:
    messages("c", {"messages": request})
    input_items("r", {"input": request})
    completion(
        {"choices": answer},
        {"tools": request},
        name="c",
        created=1,
        request_id=None,
        metadata={},
    )


@pytest.mark.parametrize(
    ("paging", "expected", "more"),
    [
        (Paging(), "abcde", False),
        (Paging(limit=5), "abcde", False),
        (Paging(limit=4), "abcd", True),
        (Paging("d", 1), "e", False),
        (Paging("c", 1), "d", True),
        (Paging("e"), "", False),
        (Paging(None, 2, "desc"), "ed", True),
        (Paging("b", 2, "desc"), "a", False),
    ],
)
def test_a_part_of_a_list_says_whether_more_follows(
    paging: Paging, expected: str, *, more: bool
) -> None:
    assert ([{"id": name} for name in expected], more) == part_of(ITEMS, paging)


def test_a_part_behind_nothing_is_none() -> None:
    assert part_of(ITEMS, Paging("z")) is None


def test_a_list_tells_its_ends_and_an_empty_one_none() -> None:
    assert {
        "object": "list",
        "data": ITEMS,
        "first_id": "a",
        "last_id": "e",
        "has_more": True,
    } == envelope(ITEMS, more=True)
    empty = envelope([], more=False)
    assert (None, None, False) == (
        empty["first_id"],
        empty["last_id"],
        empty["has_more"],
    )


def test_input_items_have_ids_and_content_of_parts() -> None:
    said = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"type": "function_call_output", "call_id": "c", "output": "1", "id": "fc_1"},
    ]
    first, second, third = input_items("resp_1", {"input": said})
    assert ("resp_1-0", [{"type": "input_text", "text": "hi"}]) == (
        first["id"],
        first["content"],
    )
    assert [{"type": "output_text", "text": "hello"}] == second["content"]
    assert {"id": "fc_1", **said[2]} == third
