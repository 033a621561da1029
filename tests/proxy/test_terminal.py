"""The terminal event is found wherever it is cut, and nothing else is held."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sse import Events
from proxy.terminal import Terminal
from storage.records import Endpoint
from tests.proxy.vectors import OK, UNENDED, VECTORS, endpoint_of, framed, named, slices

WHOLE_MARKER = {
    "chat": re.compile(rb"(?:\A|[\r\n])data: *\[DONE\]"),
    "responses": re.compile(
        rb"(?:\A|[\r\n])(?:event: *(?:response\.(?:completed|failed|incomplete)|error)"
        rb'[\r\n]|data: *\{ *"type" *: *"(?:response\.(?:completed|failed|incomplete)|error)")'
    ),
}


def passed(endpoint: Endpoint, pieces: list[bytes]) -> tuple[bytes, bool]:
    """Return the bytes that would reach the client at once, and whether some wait."""
    terminal = Terminal(endpoint)
    gone = b""
    for piece in pieces:
        offset = terminal.feed(piece)
        if offset is not None:
            return gone + piece[:offset], True
        gone += piece
    return gone, False


def check(endpoint: Endpoint, stream: bytes, pieces: list[bytes]) -> bool:
    gone, held = passed(endpoint, pieces)
    marker = WHOLE_MARKER["responses" if endpoint == "responses" else "chat"]
    assert marker.search(gone) is None
    assert held == (marker.search(stream) is not None)
    assert stream.startswith(gone)
    return held


@pytest.mark.parametrize("name", VECTORS)
def test_no_whole_marker_passes_at_any_cut(name: str) -> None:
    stream, endpoint = VECTORS[name], endpoint_of(name)
    for at in range(len(stream)):
        held = check(endpoint, stream, [stream[:at], stream[at:]])
        assert held == (name not in UNENDED)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 31, 64])
@pytest.mark.parametrize("name", VECTORS)
def test_no_whole_marker_passes_in_slices(name: str, size: int) -> None:
    stream = VECTORS[name]
    held = check(endpoint_of(name), stream, slices(stream, size))
    assert held == (name not in UNENDED)


def test_all_before_the_terminal_event_passes() -> None:
    before = framed(OK, OK)
    assert passed("chat", [before + b"data: [DONE]\n\n"]) == (before, True)
    before = named((b"response.created", b"{}"))
    end = b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
    assert passed("responses", [before + end]) == (before, True)


@pytest.mark.parametrize(
    ("endpoint", "end"),
    [
        ("chat", b"data: [DONE]"),
        ("chat", b"data:[DONE]\r\n"),
        ("chat", b"data:  [DONE]  \r"),
        ("completions", b"data: [DONE]\n\n"),
        ("responses", b"event: response.completed\n"),
        ("responses", b"event:response.failed\r\n"),
        ("responses", b"event: response.incomplete\r"),
        ("responses", b"event: error\n"),
        ("responses", b'data: {"type":"response.completed",'),
        ("responses", b'data:{ "type" : "response.incomplete"'),
        ("responses", b'data: {"type": "error"'),
    ],
)
@pytest.mark.parametrize(
    "before", [b"", b"\xef\xbb\xbf", b"data: {}\n\n", b"\r", b"\r\n"]
)
def test_each_spelling_is_held(endpoint: Endpoint, end: bytes, before: bytes) -> None:
    assert passed(endpoint, [before + end]) == (before, True)
    gone, held = passed(endpoint, slices(before + end, 1))
    assert held
    assert len(gone) < len(before + end)


@pytest.mark.parametrize(
    ("endpoint", "line"),
    [
        ("chat", rb'data: {"content":"data: [DONE]"}'),
        ("chat", rb'data: {"content":"\n\ndata: [DONE]"}'),
        ("chat", b"data: [DON]"),
        ("chat", b"data : [DONE]"),
        ("chat", b": data: [DONE]"),
        ("chat", b"event: response.completed"),
        ("chat", 'data: {"content":"\u2028data: [DONE]"}'.encode()),
        ("responses", rb'data: {"delta":"event: response.completed\n"}'),
        ("responses", rb'data: {"delta":"data: {\"type\":\"response.completed\"}"}'),
        (
            "responses",
            b'data: {"type":"response.output_item.done","status":"completed"}',
        ),
        ("responses", b"event: response.completed.not"),
        ("responses", b"event: errors"),
        ("responses", b'data: {"type":"error_free"}'),
        ("embeddings", b"data: [DON"),
    ],
)
def test_text_that_looks_like_an_end_is_not_held(
    endpoint: Endpoint, line: bytes
) -> None:
    stream = b"data: {}\n\n" + line + b"\n\n"
    for at in range(len(stream)):
        assert passed(endpoint, [stream[:at], stream[at:]]) == (stream, False)
    assert passed(endpoint, slices(stream, 1)) == (stream, False)


def test_a_long_line_leaves_a_short_head_behind() -> None:
    terminal = Terminal("chat")
    for piece in slices(b'data: {"content":"' + b"x" * 100_000, 1448):
        assert terminal.feed(piece) is None
    assert len(terminal._line_head) == 64
    assert terminal.feed(b'data: [DONE]"}\n\n') is None
    assert terminal.feed(b"data: [DONE]\n\n") == 0


PIECES = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"[DONE]",
        b"[DO",
        b"NE]",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"{}",
    ]
)


@given(st.lists(PIECES, max_size=20))
def test_held_if_and_only_if_a_line_starts_with_the_marker(pieces: list[bytes]) -> None:
    check("chat", b"".join(pieces), pieces)


@given(st.lists(PIECES, max_size=20))
def test_a_done_event_is_never_missed(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    events = Events()
    cut = events.feed(stream, seen_us=0) + events.close()
    if any(event.data.startswith(b"[DONE]") for event in cut):
        assert passed("chat", pieces)[1]
