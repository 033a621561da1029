"""Events are cut as the standard says, however the bytes arrive."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sse import Event, Events
from tests.proxy.vectors import DONE, OK, VECTORS, framed, slices


def read(*pieces: bytes, max_event_bytes: int = 1 << 20) -> list[Event]:
    events = Events(max_event_bytes=max_event_bytes)
    read = [event for piece in pieces for event in events.feed(piece, seen_us=1)]
    return read + events.close()


@pytest.mark.parametrize("name", VECTORS)
def test_h70_events_are_the_same_one_byte_at_a_time(name: str) -> None:
    stream = VECTORS[name]
    assert read(stream) == read(*slices(stream, 1))


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_h70_each_line_end_ends_lines(end: bytes) -> None:
    stream = framed(OK, DONE).replace(b"\n", end)
    expected = [Event(OK, 1), Event(DONE, 1)]
    for at in range(len(stream) + 1):
        assert expected == read(stream[:at], stream[at:])


def test_an_empty_slice_after_a_cr_changes_nothing() -> None:
    assert [Event(b"a", 1)] == read(b"data: a\r", b"", b"\n\r", b"", b"\n")


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_cr_and_lf_end_lines(odd: str) -> None:
    data = f"a{odd}b".encode()
    assert [Event(data, 1)] == read(b"data: " + data + b"\n\n")


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data:a\n\n", b"a"),
        (b"data: a\n\n", b"a"),
        (b"data:  a\n\n", b" a"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data\ndata: b\n\n", b"\nb"),
        (b"data:\n\n", b""),
        (b": note\ndata: a\n: note\n\n", b"a"),
        (b"\xef\xbb\xbfdata: a\n\n", b"a"),
        (b"id: 1\nretry: 5\nnonsense\ndatas: x\ndata: a\n\n", b"a"),
    ],
)
def test_fields_are_read_as_the_standard_says(stream: bytes, data: bytes) -> None:
    assert [Event(data, 1)] == read(stream)
    assert [Event(data, 1)] == read(*slices(stream, 1))


def test_a_bom_counts_at_the_start_of_the_stream_only() -> None:
    assert [Event(b"a", 1)] == read(b"data: a\n\n\xef\xbb\xbfdata: b\n\n")


def test_a_name_belongs_to_its_own_event_only() -> None:
    events = read(b"event: error\ndata: a\n\nevent: lost\n\ndata: b\n\n")
    assert [Event(b"a", 1, b"error"), Event(b"b", 1)] == events


def test_an_event_carries_the_time_of_its_last_byte() -> None:
    events = Events()
    assert events.feed(b"data: a\n\ndata:", seen_us=5) == [Event(b"a", 5)]
    assert events.feed(b" b\n", seen_us=6) == []
    assert events.feed(b"\n", seen_us=7) == [Event(b"b", 7)]


@pytest.mark.parametrize("stream", [b"data: a\n", b"data: a", b"data: a\r"])
def test_h70_a_last_event_without_blank_line_is_marked_unfinished(
    stream: bytes,
) -> None:
    assert [Event(b"a", 1, unfinished=True)] == read(stream)


def test_a_stream_that_ended_with_a_blank_line_has_nothing_left() -> None:
    events = Events()
    events.feed(b"data: a\n\n: bye\n", seen_us=1)
    assert events.close() == []


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize(
    "long", [b"data: " + b"x" * 65 + b"\n", b"data: 0123456789\n" * 9, b":" * 99]
)
def test_an_oversized_event_is_left_out_and_counted(long: bytes, size: int) -> None:
    events = Events(max_event_bytes=64)
    stream = b"data: a\n\n" + long + b"\n\n" + b"data: b\n\n"
    got = [e for piece in slices(stream, size) for e in events.feed(piece, seen_us=1)]
    got += events.close()
    expected = [Event(b"a", 1), Event(b"b", 1)]
    if long.startswith(b"data"):
        assert (expected, 1) == (got, events.oversized_count)
    else:
        assert expected == got


def test_an_oversized_event_that_never_ends_holds_no_bytes() -> None:
    events = Events(max_event_bytes=64)
    for _ in range(100):
        events.feed(b"data: " + b"x" * 50, seen_us=1)
    assert sum(map(len, events._line)) <= 128
    assert events.close() == []
    assert events.oversized_count == 1


def test_an_8_mb_line_is_one_event_however_it_arrives() -> None:
    data = b'{"a":"' + b"x" * 8_000_000 + b'"}'
    stream = framed(data)
    assert [Event(data, 1)] == read(stream, max_event_bytes=1 << 24)
    assert [Event(data, 1)] == read(*slices(stream, 1448), max_event_bytes=1 << 24)


LINES = st.lists(
    st.sampled_from(
        [
            b"data: a",
            b"data:",
            b"data",
            b"event: x",
            b":",
            b"",
            b"",
            b"id: 1",
            b"data: \xc3",
        ]
    ),
    max_size=20,
)


@given(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"]), st.data())
def test_no_split_changes_the_events(
    lines: list[bytes], end: bytes, data: st.DataObject
) -> None:
    stream = b"".join(line + end for line in lines)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    bounds = [0, *cuts, len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(bounds)]
    assert read(stream) == read(*pieces)
