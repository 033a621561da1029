"""Framing of requests: what is added, and what is refused before a byte is sent."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from proxy.upstream.errors import RequestUnsendable
from proxy.upstream.request import Lines, Outgoing

URL = "http://a.test/x"


async def pieces() -> AsyncIterator[bytes]:
    yield b"ab"


def request(
    *headers: tuple[bytes, bytes],
    method: str = "POST",
    body: bytes | AsyncIterator[bytes] = b"ab",
) -> httpx.Request:
    if isinstance(body, bytes):
        stream = httpx.ByteStream(body)
        return httpx.Request(method, URL, headers=list(headers), stream=stream)
    made = httpx.Request(method, URL, headers=list(headers), content=body)
    del made.headers["host"]
    return made


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"Transfer-Encoding", b"chunked")], b"ab"),
        ([(b"Content-Length", b"3")], b"ab"),
        ([(b"Content-Length", b"2, 2")], b"ab"),
        ([(b"Content-Length", b"2"), (b"content-length", b"3")], b"ab"),
        ([(b"Content-Length", b"3"), (b"content-length", b"2")], b"ab"),
        ([(b"Content-Length", b"2"), (b"content-length", b"2")], b"ab"),
    ],
)
def test_a_whole_body_with_other_framing_is_refused(
    headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    with pytest.raises(RequestUnsendable):
        Outgoing.of(request(*headers, body=body))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Transfer-Encoding", b"gzip")],
        [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"2")],
        [(b"Content-Length", b"+2")],
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"2" * 19)],
    ],
)
def test_a_streamed_body_with_odd_framing_is_refused(
    headers: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(RequestUnsendable):
        Outgoing.of(request(*headers, body=pieces()))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_an_empty_body_is_announced_where_one_is_expected(method: str) -> None:
    head = Outgoing.of(request(method=method, body=b"")).head
    assert head == method.encode() + b" /x HTTP/1.1\r\ncontent-length: 0\r\n\r\n"


def test_the_same_lines_serve_bodies_of_every_length() -> None:
    lines = Lines([(b"Host", b"a.test"), (b"idempotency-key", b"1")])
    for body, size in ((b"ab", b"2"), (b"a" * 812, b"812")):
        assert Outgoing("POST", b"/x", lines, body).head == (
            b"POST /x HTTP/1.1\r\nHost: a.test\r\nidempotency-key: 1\r\n"
            b"content-length: " + size + b"\r\n\r\n"
        )
    assert lines.without(b"idempotency-key").pairs == ((b"Host", b"a.test"),)


@pytest.mark.parametrize("pair", [(b"a", b"1\r\nb: 2"), (b"a\n", b"1"), (b"a", b"\0")])
def test_lines_that_cannot_be_sent_are_refused_with_each_request(
    pair: tuple[bytes, bytes],
) -> None:
    lines = Lines([pair])
    for _ in range(2):
        with pytest.raises(RequestUnsendable):
            Outgoing("GET", b"/x", lines, b"")


@pytest.mark.parametrize("length", [b"2", b"0"])
def test_one_right_length_is_sent_once(length: bytes) -> None:
    outgoing = Outgoing.of(
        request((b"CONTENT-length", length), body=b"ab"[: int(length)])
    )
    assert outgoing.head.lower().count(b"content-length") == 1


def test_a_body_that_only_a_thread_can_read_is_refused() -> None:
    def blocking() -> Iterator[bytes]:
        yield b"ab"

    with pytest.raises(RequestUnsendable):
        Outgoing.of(httpx.Request("POST", URL, content=blocking()))


@pytest.mark.parametrize(
    ("method", "body", "replayable"),
    [
        ("GET", b"", True),
        ("DELETE", b"ab", True),
        ("POST", b"ab", False),
        ("PATCH", b"", False),
        ("PUT", pieces(), False),
    ],
)
def test_h80_only_idempotent_requests_with_their_body_at_hand_repeat(
    method: str, body: bytes | AsyncIterator[bytes], *, replayable: bool
) -> None:
    assert Outgoing.of(request(method=method, body=body)).replayable == replayable
