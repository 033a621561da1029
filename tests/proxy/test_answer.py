"""An answer is read for the record, whatever the upstream made of it."""

import gzip
import json
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy import decode
from proxy.answer import Answer, assemble, read_answer
from proxy.stitch import quick
from storage.records import Endpoint, Json, Usage
from tests.proxy.answers import (
    EXPECTED,
    JSON_TYPE,
    PLAIN,
    SSE_TYPE,
    both_ways,
    dump,
    received,
    streamed,
    with_message,
)
from tests.proxy.vectors import CHAT, RESPONSES, VECTORS, endpoint_of, framed, slices


def test_a_plain_answer_is_read() -> None:
    assert both_ways(dump(PLAIN)) == EXPECTED
    assert quick.read_chat(dump(PLAIN), complete=True) == EXPECTED


def test_a_plain_answer_in_many_chunks_is_the_same() -> None:
    assert read_answer("chat", received(*slices(dump(PLAIN), 7))) == EXPECTED


def test_the_message_keeps_its_bytes() -> None:
    message = rb'{ "role":"assistant",  "content":"\u00e9\/"}'
    body = rb'{"choices":[{"message":' + message + rb',"finish_reason":null}]}'
    assert read_answer("chat", received(body)).messages == (message,)


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_is_told_and_assembled_the_same_in_any_slices(name: str) -> None:
    endpoint, stream = endpoint_of(name), VECTORS[name]
    whole = read_answer(endpoint, streamed([stream]))
    objects = assemble(endpoint, streamed([stream]))
    for size in (1, 5, 100):
        cut = streamed(slices(stream, size))
        again = read_answer(endpoint, cut)
        assert again.messages == whole.messages
        assert (again.preview, again.usage) == (whole.preview, whole.usage)
        assert (again.complete, again.flags) == (whole.complete, whole.flags)
        assert assemble(endpoint, cut) == objects


@pytest.mark.parametrize("name", VECTORS)
def test_every_vector_cut_off_anywhere_is_told_without_fail(name: str) -> None:
    endpoint, stream = endpoint_of(name), VECTORS[name]
    for at in range(len(stream)):
        answer = read_answer(endpoint, streamed([stream[:at]], ended_clean=False))
        answer.preview.encode()
        assert answer.complete <= (name not in {"a5_error", "a8_9_no_done"})


def test_a_stream_is_told_as_its_plain_twin() -> None:
    stream = read_answer("chat", streamed([CHAT["a1_text"]]))
    assert stream == Answer(
        completion_id="chatcmpl-T1",
        model="m-1",
        finish_reason="stop",
        finish_reasons=("stop",),
        usage=Usage(prompt_tokens=9, completion_tokens=1),
        complete=True,
        preview="Hi",
        messages=EXPECTED.messages,
        first_token_us=0,
    )


def test_a_streamed_response_is_told_by_its_items() -> None:
    answer = read_answer("responses", streamed([RESPONSES["a9_completed"]]))
    assert (answer.completion_id, answer.finish_reason) == ("resp_1", "completed")
    assert answer.finish_reasons == ("completed",)
    assert answer.usage == Usage(prompt_tokens=3, completion_tokens=1)
    assert (answer.preview, answer.complete) == ("Hi", True)
    assert [json.loads(item)["id"] for item in answer.messages] == ["msg_1"]


@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_error_body_is_kept_and_complete(status: int) -> None:
    error = b'{"message":"no","type":"x","param":null,"code":null}'
    wrapped = received(b'{"error":' + error + b"}", status=status)
    assert read_answer("chat", wrapped) == Answer(error=error, complete=True)
    bare = received(error, status=status)
    assert read_answer("chat", bare) == Answer(error=error, complete=True)
    assert assemble("chat", wrapped) is None


def test_an_error_page_is_complete_and_unparsed() -> None:
    answer = read_answer("chat", received(b"<html>", status=502))
    assert answer == Answer(complete=True, flags=("unparsed",))
    cut = read_answer("chat", received(b"<ht", status=502, ended_clean=False))
    assert not cut.complete


def test_an_error_in_an_ok_body_is_an_error() -> None:
    answer = read_answer("chat", received(b'{"error":{"message":"no"}}'))
    assert (answer.error, answer.complete) == (b'{"message":"no"}', False)
    fine = read_answer("chat", received(dump(PLAIN | {"error": None})))
    assert fine == EXPECTED


def test_a8_14_a_json_body_for_a_stream_request_is_a_normal_answer() -> None:
    for content_type in (JSON_TYPE, SSE_TYPE, b""):
        given = received(
            b" \r\n" + dump(PLAIN), content_type=content_type, asked_stream=True
        )
        answer = read_answer("chat", given)
        assert (answer.messages, answer.flags) == (EXPECTED.messages, ("not_streamed",))
        assert answer.complete
        assert assemble("chat", given) == PLAIN


def test_a8_15_an_event_stream_nobody_asked_for_is_assembled() -> None:
    for content_type in (SSE_TYPE, JSON_TYPE, b""):
        given = received(CHAT["a1_text"], content_type=content_type)
        answer = read_answer("chat", given)
        assert (answer.preview, answer.flags) == ("Hi", ("streamed_unasked",))
        assert answer.complete


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br"])
def test_a8_13_a_coded_stream_is_read(coding: bytes) -> None:
    coders = {b"gzip": gzip.compress, b"deflate": zlib.compress, b"br": brotli.compress}
    coded = slices(coders[coding](CHAT["a1_text"]), 50)
    given = replace(streamed(coded), content_encoding=coding)
    answer = read_answer("chat", given)
    assert (answer.preview, answer.complete, answer.flags) == ("Hi", True, ())
    assert answer.first_token_us is None


def test_a8_13_without_a_decoder_the_answer_is_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decode, "READS_BROTLI", False)
    given = received(brotli.compress(dump(PLAIN)), content_encoding=b"br")
    assert read_answer("chat", given) == Answer(complete=True, flags=("undecoded=br",))
    assert assemble("chat", given) is None


def test_h62_a_coded_body_cut_off_is_marked() -> None:
    coded = gzip.compress(CHAT["a1_text"])
    given = received(coded[:-20], content_encoding=b"gzip", ended_clean=False)
    answer = read_answer("chat", given)
    assert "decode_error" in answer.flags
    assert not answer.complete


def test_h62_a_wrong_label_does_not_hide_the_answer() -> None:
    answer = read_answer("chat", received(dump(PLAIN), content_encoding=b"gzip"))
    assert (answer.preview, answer.flags) == ("Hi", ("decode_error",))


def test_s46_a_bomb_is_marked() -> None:
    bomb = gzip.compress(bytes(2 << 20))
    answer = read_answer("chat", received(bomb, content_encoding=b"gzip"))
    assert answer.flags == ("bomb",)


@pytest.mark.parametrize(
    "body", [b"", b"hello", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b"{}x"]
)
@pytest.mark.parametrize("endpoint", ["chat", "responses", "completions", "embeddings"])
def test_what_is_no_answer_is_unparsed(endpoint: Endpoint, body: bytes) -> None:
    given = received(body)
    assert read_answer(endpoint, given) == Answer(flags=("unparsed",))
    assert assemble(endpoint, given) is None


def test_an_event_stream_of_nothing_is_unparsed() -> None:
    answer = read_answer("chat", streamed([b"what is this\n\n"]))
    assert answer.flags == ("unparsed",)
    assert read_answer("chat", streamed([])).flags == ()


def test_a_body_cut_off_is_not_complete() -> None:
    body = dump(PLAIN)
    for at in range(len(body)):
        for ended_clean in (True, False):
            given = received(body[:at], ended_clean=ended_clean)
            assert not read_answer("chat", given).complete
    assert not read_answer("chat", received(body, ended_clean=False)).complete


def test_a8_7_lone_surrogates_do_no_harm() -> None:
    body = with_message(content="a\ud83d" * 400)
    answer = read_answer("chat", received(body))
    assert answer.preview == "a?" * 150
    assert json.loads(answer.messages[0])["content"] == "a\ud83d" * 400
    assert answer.messages[0].isascii()
    odd = dump(PLAIN | {"id": "\ud83d", "model": "m" * 999})
    answer = read_answer("chat", received(odd))
    assert (answer.completion_id, answer.model) == ("?", "m" * 256)


def test_invalid_utf8_in_a_part_left_raw_is_not_passed_on() -> None:
    body = dump(PLAIN).replace(b'"refusal":null', b'"x":"\xff"')
    assert read_answer("chat", received(body)).flags == ("unparsed",)


def test_nesting_that_cannot_be_written_again_is_unparsed() -> None:
    flags = set()
    for depth in (*range(880, 1000), 2000):
        deep = b"[" * depth + b"]" * depth
        body = b'{"choices":[{"message":{"content":' + deep + b"}}]}"
        answer = read_answer("chat", received(body))
        assert answer.messages or answer.flags == ("unparsed",)
        stream = streamed([framed(b'{"error":' + deep + b"}")])
        answer = read_answer("chat", stream)
        assert answer.error or answer.flags
        assert assemble("chat", stream) is None
        flags |= set(answer.flags)
    assert flags <= {"unparsed", "unparsed_event"}


def test_an_event_past_64_mib_is_flagged() -> None:
    mebibyte = b"x" * (1 << 20)
    chunks = [b"data: ", *[mebibyte] * 65, b"\n\n", CHAT["a1_text"]]
    answer = read_answer("chat", streamed(chunks))
    assert (answer.preview, answer.flags) == ("Hi", ("oversized_event",))


ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "message", "content", "text", "tool_calls", "function", "name",
             "arguments", "usage", "error", "output", "data", "embedding", "type", "id",
             "finish_reason", "prompt_tokens", "prompt_tokens_details", "status"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@given(ANY_JSON, st.sampled_from(["chat", "responses", "completions", "embeddings"]))
def test_no_shape_of_a_body_raises(value: Json, endpoint: Endpoint) -> None:
    for member in ("choices", "output", "data"):
        body = json.dumps({member: value, "model": value, "usage": value}).encode()
        read_answer(endpoint, received(body)).preview.encode()
        read_answer(endpoint, streamed([framed(body)])).preview.encode()
