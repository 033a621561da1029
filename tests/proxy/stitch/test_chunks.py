"""Chunks become the object that a request without `stream` would have got."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.stitch import Stitched
from storage.records import Endpoint, Json
from tests.proxy.stitch.spelling import chat, choice, delta, message, read
from tests.proxy.vectors import (
    CHAT,
    DONE,
    FLAT_ERROR,
    OK,
    RESPONSES,
    VECTORS,
    argued,
    endpoint_of,
    framed,
    said,
    slices,
)


@pytest.mark.parametrize("name", VECTORS)
def test_a8_1_one_byte_at_a_time_spells_the_same(name: str) -> None:
    whole = read(endpoint_of(name), VECTORS[name])
    cut = read(endpoint_of(name), *slices(VECTORS[name], 1))
    assert (whole.whole, whole.complete, whole.error, whole.flags) == (
        cut.whole,
        cut.complete,
        cut.error,
        cut.flags,
    )


ENDS = (b"response.completed", b"response.failed", b"response.incomplete")


@pytest.mark.parametrize("name", VECTORS)
def test_a_stream_cut_anywhere_is_read_and_not_complete(name: str) -> None:
    stream = VECTORS[name]
    for at in range(len(stream)):
        read(endpoint_of(name), stream[:at])
        cut = read(endpoint_of(name), stream[:at], ended_clean=False)
        markers = ENDS if name in RESPONSES else (b"[DONE]",)
        assert not cut.complete or any(marker in stream[:at] for marker in markers)


def test_a1_a_text_stream_keeps_first_envelope_and_last_usage() -> None:
    stitched = chat("a1_text")
    assert stitched == Stitched(
        {
            "id": "chatcmpl-T1",
            "object": "chat.completion",
            "created": 1760000000,
            "model": "m-1",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hi", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
            "service_tier": "default",
            "system_fingerprint": "fp_a",
        },
        complete=True,
        first_token_us=0,
    )


def test_a3_choices_keep_apart_and_logprobs_add_up() -> None:
    stitched = chat("a3_two_choices")
    first, second = stitched.whole["choices"]
    assert (first["index"], first["finish_reason"]) == (0, "length")
    assert (second["index"], second["finish_reason"]) == (1, "stop")
    assert [c["message"]["content"] for c in (first, second)] == ["A", "Bb"]
    assert [len(c["logprobs"]["content"]) for c in (first, second)] == [1, 2]
    assert second["logprobs"]["refusal"] is None
    assert stitched.complete


def test_the_first_id_that_says_something_stays() -> None:
    ids = ("", "one", "two", "")
    chunks = [json.dumps({"id": i, "choices": []}).encode() for i in ids]
    assert read("chat", framed(*chunks, OK)).whole["id"] == "one"


def test_a4_azures_empty_first_chunk_and_delta_less_chunk_are_read() -> None:
    stitched = chat("a4_azure")
    whole = stitched.whole
    assert (whole["id"], whole["model"], whole["created"]) == ("chatcmpl-AZ", "m-az", 7)
    assert whole["prompt_filter_results"][0]["prompt_index"] == 0
    assert message(stitched)["content"] == "ok"
    assert choice(stitched)["content_filter_offsets"]["end_offset"] == 2
    assert stitched.complete


@pytest.mark.parametrize(
    "name", ["a5_error", "a5_error_then_done", "a8_10_error_event"]
)
def test_a5_an_error_in_the_stream_keeps_what_came(name: str) -> None:
    stitched = chat(name)
    assert message(stitched)["content"] == "par"
    assert json.loads(stitched.error or b"")["message"] == "backend failed"
    assert not stitched.complete


def test_a5_an_error_as_the_first_event_is_all_there_is() -> None:
    stitched = chat("a5_error_first")
    assert json.loads(stitched.error or b"")["code"] == 500
    assert (stitched.whole, stitched.complete) == ({}, False)


def test_a5_an_error_outweighs_a_finish_reason_and_done() -> None:
    stitched = read("chat", framed(OK, b'{"error":{"message":"late"}}', DONE))
    assert (stitched.error, stitched.complete) == (b'{"message":"late"}', False)


def test_a8_10_an_error_event_need_not_be_json() -> None:
    stitched = read("chat", framed(OK) + b"event: error\ndata: overloaded\n\n")
    assert stitched.error == b'"overloaded"'
    stitched = read("chat", b"event: error\n" + framed(FLAT_ERROR))
    assert (
        stitched.error
        == json.dumps(json.loads(FLAT_ERROR), separators=(",", ":")).encode()
    )


@pytest.mark.parametrize("index", [-1, 128, 2**70, 0.5, "1", True, [0], {"a": 1}])
def test_absurd_indexes_are_left_out_and_flagged(index: Json) -> None:
    entry = {"index": index, "delta": {"content": "x"}, "finish_reason": "stop"}
    stitched = read("chat", framed(OK, json.dumps({"choices": [entry]}).encode()))
    assert len(stitched.whole["choices"]) == 1
    assert stitched.flags == ("index_out_of_range",)
    call = {"index": index, "id": "c", "function": {"name": "f"}}
    tools = read("chat", framed(delta(tool_calls=[call])))
    assert "tool_calls" not in message(tools)
    assert tools.flags == ("index_out_of_range",)


FRAMING = [name for name in CHAT if name.startswith(("a8_1_", "a8_2_", "a8_3_"))]


@pytest.mark.parametrize("name", FRAMING)
def test_a8_framing_changes_nothing(name: str) -> None:
    assert chat(name) == chat("a1_text")


def test_a8_9_without_done_the_framing_decides() -> None:
    stream = CHAT["a8_9_no_done"]
    assert read("chat", stream, ended_clean=True).complete
    assert not read("chat", stream, ended_clean=False).complete
    assert read("chat", stream + framed(DONE), ended_clean=False).complete


def test_no_finish_reason_is_not_complete() -> None:
    assert not read("chat", framed(said("a"), DONE)).complete
    assert not read("chat", framed(said("a", '""'), DONE)).complete
    assert not read("chat", framed(DONE)).complete


def test_data_that_is_no_json_is_flagged() -> None:
    stitched = read("chat", framed(OK, b'{"broken', b'{"a":"\xff"}', DONE))
    assert stitched.flags == ("unparsed_event",)
    assert message(stitched)["content"] == "ok"


def test_usage_is_the_last_that_says_something() -> None:
    usages: list[Json] = [{"prompt_tokens": 1}, {"prompt_tokens": 2}, {}, None, 5]
    chunks = [json.dumps({"choices": [], "usage": usage}) for usage in usages]
    stitched = read("chat", framed(OK, *(chunk.encode() for chunk in chunks)))
    assert stitched.whole["usage"] == {"prompt_tokens": 2}
    assert "usage" not in read("chat", framed(OK)).whole


ANY_TEXT = st.text(max_size=20)
SPOKEN = st.lists(ANY_TEXT, min_size=1, max_size=8)


@settings(max_examples=200)
@given(SPOKEN, st.lists(SPOKEN, max_size=3), st.data())
def test_any_answer_cut_anywhere_is_put_together_again(
    texts: list[str], calls: list[list[str]], data: st.DataObject
) -> None:
    lanes = [[delta(content=text) for text in texts]]
    for index, fragments in enumerate(calls):
        head = {"index": index, "id": f"c{index}", "function": {"name": "f"}}
        tails = [{"index": index, "function": {"arguments": t}} for t in fragments]
        lanes.append([delta(tool_calls=[part]) for part in (head, *tails)])
    turns = [number for number, lane in enumerate(lanes) for _ in lane]
    lines = [iter(lane) for lane in lanes]
    order = data.draw(st.permutations(turns))
    stream = framed(*(next(lines[number]) for number in order), DONE)
    made = message(read("chat", *slices(stream, data.draw(st.integers(1, 400)))))
    assert made["content"] == "".join(texts)
    got = [call["function"]["arguments"] for call in made.get("tool_calls", [])]
    assert got == ["".join(fragments) for fragments in calls]


JSON_VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["index", "delta", "message", "content", "tool_calls", "function", "id",
             "arguments", "audio", "data", "function_call", "logprobs", "finish_reason",
             "custom", "input", "text", "type", "response", "output", "error", "usage"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(JSON_VALUES, max_size=3), st.sampled_from(["chat", "completions"]))
def test_no_shape_of_a_choice_raises(entries: list[Json], endpoint: Endpoint) -> None:
    stream = framed(json.dumps({"choices": entries}).encode(), OK, DONE)
    read(endpoint, stream)
    read("responses", framed(*(json.dumps(entry).encode() for entry in entries)))


def test_deep_nesting_is_left_out() -> None:
    deep = b"[" * 100_000
    stitched = read("chat", framed(deep, OK, argued(deep), DONE))
    assert stitched.flags == ("unparsed_event",)
    assert read("chat", argued(deep)).flags == ()
