"""A request as the bytes of one HTTP/1.1 message.

Headers are sent as given: order, spelling, duplicates. Only framing is added.
"""

from collections.abc import AsyncIterable
from typing import Self

import httpx

from proxy.upstream.errors import RequestUnsendable

# RFC 9110 §9.2.2; a repeat of one of these changes nothing (H-80).
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
# RFC 9110 §8.6: these announce an empty body as well.
WITH_CONTENT = frozenset(("POST", "PUT", "PATCH"))


class Outgoing:
    """One request, framed.

    Shapes: `body` is the whole body, or None when `stream` yields it; `length_bytes` is
    what a streamed body declared, or None when it leaves in chunks.
    """

    __slots__ = ("body", "head", "length_bytes", "method", "stream", "upgrade_asked")

    def __init__(
        self,
        method: str,
        target: bytes,
        pairs: list[tuple[bytes, bytes]],
        body: bytes | AsyncIterable[bytes],
    ) -> None:
        self.method = method
        self.body: bytes | None = None
        self.stream: AsyncIterable[bytes] | None = None
        self.length_bytes: int | None = None
        named = {name.lower(): value for name, value in pairs}
        if len(named) != len(pairs):
            _refuse_repeated(pairs)
        self.upgrade_asked = b"upgrade" in named
        if isinstance(body, bytes):
            self.body = body
            framing = _frame_whole(method, len(body), named)
        else:
            self.stream = body
            self.length_bytes, framing = _frame_streamed(named)
        self.head = _join(method.encode(), target, pairs, framing)

    @classmethod
    def of(cls, request: httpx.Request) -> Self:
        """Return an httpx request as it leaves.

        Raises: `RequestUnsendable` where it cannot be framed, or its body not read.
        """
        target = request.extensions.get("target") or request.url.raw_path
        body: bytes | AsyncIterable[bytes]
        if isinstance(request.stream, httpx.ByteStream):
            body = b"".join(request.stream)
        elif isinstance(request.stream, AsyncIterable):
            body = request.stream
        else:
            raise RequestUnsendable("The request's body cannot be read in a loop.")
        return cls(request.method, target, request.headers.raw, body)

    @property
    def replayable(self) -> bool:
        """Whether sending it twice changes nothing."""
        return self.body is not None and self.method in IDEMPOTENT


def _refuse_repeated(pairs: list[tuple[bytes, bytes]]) -> None:
    names = [name.lower() for name, _ in pairs]
    if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
        raise RequestUnsendable("The request is framed twice.")


def _frame_whole(method: str, size_bytes: int, named: dict[bytes, bytes]) -> bytes:
    if b"transfer-encoding" in named:
        raise RequestUnsendable("A whole body goes out with its length, not in chunks.")
    declared = named.get(b"content-length")
    size = b"%d" % size_bytes
    if declared == size:
        return b""
    if declared is not None:
        raise RequestUnsendable(
            f"content-length says {declared.decode('latin-1')}, the body has"
            f" {size_bytes} bytes."
        )
    if size_bytes or method in WITH_CONTENT:
        return b"content-length: " + size + b"\r\n"
    return b""


def _frame_streamed(named: dict[bytes, bytes]) -> tuple[int | None, bytes]:
    declared = named.get(b"content-length")
    coding = named.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked" or declared is not None:
            raise RequestUnsendable("A streamed body has a length or is chunked.")
        return None, b""
    if declared is None:
        return None, b"transfer-encoding: chunked\r\n"
    if not declared.isdigit() or len(declared) > 18:
        raise RequestUnsendable("content-length is no number.")
    return int(declared), b""


def _join(
    method: bytes, target: bytes, pairs: list[tuple[bytes, bytes]], framing: bytes
) -> bytes:
    lines = [b"%b: %b\r\n" % pair for pair in pairs]
    head = b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target, b"".join(lines), framing)
    # One line end per line, or somebody's header would begin a request of its own.
    lines_count = len(pairs) + 2 + bool(framing)
    if (
        head.count(b"\n") != lines_count
        or head.count(b"\r") != lines_count
        or b"\0" in head
        or b" " in target
        or not target
    ):
        raise RequestUnsendable("A header or the target holds a forbidden byte.")
    if method == b"CONNECT":
        raise RequestUnsendable("CONNECT is not forwarded.")
    return head
