"""What a chat message holds is put together by kind."""

import pytest

from storage.records import Json
from tests.proxy.stitch.spelling import chat, choice, delta, message, read
from tests.proxy.vectors import CHAT, DONE, OK, framed


def test_a7_whole_audio_counts_as_stopped() -> None:
    stitched = chat("a7_audio")
    assert message(stitched)["audio"] == {
        "id": "audio_1",
        "transcript": "hey",
        "data": "AAAA",
        "expires_at": 1760003600,
    }
    assert choice(stitched)["finish_reason"] == "stop"
    assert (stitched.complete, stitched.flags) == (True, ())
    partial = CHAT["a7_audio"].replace(b'"expires_at"', b'"x"')
    assert not read("chat", partial).complete


def test_a7_audio_in_unaligned_fragments_is_flagged() -> None:
    stitched = read(
        "chat", framed(delta(audio={"data": "AA"}), delta(audio={"data": "AA"}))
    )
    assert message(stitched)["audio"] == {"data": "AAAA"}
    assert stitched.flags == ("audio_unaligned",)


@pytest.mark.parametrize(
    ("name", "content", "complete"),
    [
        ("a8_4_two_data_lines", "ok", True),
        ("a8_5_line_separators", "a\u2028b\u2029c\u0085d\x0bef", True),
        ("a8_6_characters", "€ 🥃 é🥃", True),
        ("a8_7_lone_surrogate", "a\ud83db", True),
        ("a8_8_bom", "ok", True),
        ("a8_9_no_blank_line", "aok", True),
        ("a8_9_no_done", "aok", True),
        ("a8_9_done_unended", "ok", True),
        ("a8_9_done_spaces", "ok", True),
        ("a8_9_after_done", "ok", True),
        ("a8_11_no_objects", "ok", True),
    ],
)
def test_a8_oddities_are_read(name: str, content: str, complete: bool) -> None:  # noqa: FBT001  a column of the table
    stitched = chat(name)
    assert message(stitched)["content"] == content
    assert (stitched.complete, stitched.error) == (complete, None)


def test_vendor_texts_append_and_arrays_extend() -> None:
    stitched = read(
        "chat",
        framed(
            delta(role="assistant", reasoning="a", reasoning_details=[1]),
            delta(role="assistant", reasoning="b", reasoning_details=[2], odd={"x": 1}),
            delta(refusal="no", odd={"x": 2}, content=""),
            delta(refusal="pe", reasoning=None),
        ),
    )
    assert message(stitched) == {
        "role": "assistant",
        "content": "",
        "refusal": "nope",
        "reasoning": "ab",
        "reasoning_details": [1, 2],
        "odd": {"x": 2},
    }


def test_content_in_parts_and_text_keeps_its_order() -> None:
    part = {"type": "thinking", "thinking": []}
    stitched = read(
        "chat", framed(delta(content="a"), delta(content=[part]), delta(content="b"))
    )
    texts = [{"type": "text", "text": "a"}, part, {"type": "text", "text": "b"}]
    assert message(stitched)["content"] == texts


def test_a_whole_message_in_one_chunk_is_taken() -> None:
    chunk = b'{"choices":[{"message":{"role":"assistant","content":"all"},"finish_reason":"stop"}]}'
    assert message(read("chat", framed(chunk, DONE)))["content"] == "all"


@pytest.mark.parametrize(
    ("members", "counts"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"content": "x"}, True),
        ({"reasoning_content": "x"}, True),
        ({"refusal": "x"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"tool_calls": []}, False),
        ({"function_call": {"name": "f"}}, True),
        ({"audio": {"id": "a"}}, False),
        ({"audio": {"data": "AAAA"}}, True),
        ({"content": [{"type": "text", "text": "x"}]}, True),
    ],
)
def test_only_what_the_model_says_is_a_first_token(
    members: dict[str, Json],
    counts: bool,  # noqa: FBT001  a column of the table
) -> None:
    pieces = [b": wait\n\n", framed(delta(role="assistant")), framed(delta(**members))]
    assert read("chat", *pieces, framed(OK)).first_token_us == (2 if counts else 3)
