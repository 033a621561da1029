"""Heads that are taken for the last one again: llhttp must find the same in them."""

from types import SimpleNamespace
from typing import Any, cast

import httptools
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.front.repeat import Repeat
from proxy.front.turn import Turn
from tests.fuzz.budget import fuzzed

SPELLED = st.sampled_from([b"Content-Length", b"content-length", b"CONTENT-LENGTH"])
LINE = st.sampled_from(
    [
        b"X-A: 1",
        b"x-a:  content-length: 3",
        b"X-Content-Length: 3",
        b"Content-Length-X: 3",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"Cookie: \r",
        b"Connection: close",
        b"X-B:",
    ]
)
LINES = st.lists(LINE, max_size=3)
BODY = st.sampled_from([b"", b"abc", b"0123456789", b"\r\n\r\n", b"3\r\n\r\nabc"])
PIECE = st.sampled_from([b"\r\n", b"0", b"3", b" ", b"+", b":", b"\r\n\r\n", b"x"])


class Read:
    """What llhttp finds in some bytes."""

    def __init__(self, data: bytes) -> None:
        self.found: list[Any] = []
        self.body = b""
        httptools.HttpRequestParser(self).feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note it."""
        self.found.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note it as the front does."""
        self.found.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """Collect it."""
        self.body += body

    def on_message_complete(self) -> None:
        """Note where one ends."""
        self.found.append("end")


def request(lead: list[bytes], spelled: bytes, tail: list[bytes], body: bytes) -> bytes:
    """Return a request with a length between other lines."""
    lines = [b"POST /a HTTP/1.1", *lead, b"%b: %d" % (spelled, len(body)), *tail]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def known(data: bytes, spelled: bytes) -> Repeat | None:
    """Return what is remembered of a request that came whole."""
    try:
        read = Read(data)
    except httptools.HttpParserError:
        return None
    if read.found[-1] != "end" or read.found.count("end") > 1:
        return None
    scope = {"headers": read.found[1:-1]}
    turn = SimpleNamespace(scope=scope, query=None, notes={})
    return Repeat.of(data, spelled, cast("Turn", turn))


@fuzzed(500)
@given(
    st.tuples(LINES, SPELLED, LINES),
    st.tuples(BODY, BODY),
    st.tuples(PIECE, st.integers(0, 200), st.integers(0, 2)),
)
def test_h04_h10_what_is_known_again_is_what_would_be_read(
    lines: tuple[list[bytes], bytes, list[bytes]],
    bodies: tuple[bytes, bytes],
    edit: tuple[bytes, int, int],
) -> None:
    (lead, spelled, tail), (body, other), (piece, at, cut) = lines, bodies, edit
    head = known(request(lead, spelled, tail, body), spelled)
    assume(head is not None)
    assert head is not None
    again = request(lead, spelled, tail, other)
    assert other == head.body(again)
    for data in (again, again[:at] + piece + again[at + cut :], again[:at]):
        taken = head.body(data)
        if taken is not None:
            read = Read(data)
            assert taken == read.body
            scope = head.scope_for(len(taken))
            assert read.found == [b"/a", *scope["headers"], "end"]
