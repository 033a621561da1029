"""A request as the bytes of one HTTP/1.1 message.

Headers are sent as given: order, spelling, duplicates. Only framing is added.
"""

import re
from collections.abc import AsyncIterable, Iterable
from typing import Self

import httpx

from proxy.upstream.errors import RequestUnsendable

# RFC 9110 §9.2.2; a repeat of one of these changes nothing (H-80).
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
# RFC 9110 §8.6: these announce an empty body as well.
WITH_CONTENT = frozenset(("POST", "PUT", "PATCH"))

FIRST_LINE = re.compile(rb"[^ \r\n\0]+ [^ \r\n\0]+ HTTP/1\.1\r\n")
FORBIDDEN = "A header or the target holds a forbidden byte."


class Lines:
    """The header lines of requests, joined and judged once for all that repeat them.

    Shapes: `pairs` as they leave; `length` and `coding` are the framing among them, and
    `fault` says why no request can be sent with them, if so.
    """

    __slots__ = ("coding", "fault", "joined", "length", "pairs", "upgrade_asked")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.pairs = tuple(pairs)
        named = {name.lower(): value for name, value in self.pairs}
        self.length = named.get(b"content-length")
        self.coding = named.get(b"transfer-encoding")
        self.upgrade_asked = b"upgrade" in named
        self.joined = b"".join([b"%b: %b\r\n" % pair for pair in self.pairs])
        self.fault = self._fault(repeats=len(named) != len(self.pairs))

    def without(self, name: bytes) -> "Lines":
        """Return the lines but for those of one name, in lower case."""
        return Lines(pair for pair in self.pairs if pair[0].lower() != name)

    def _fault(self, *, repeats: bool) -> str | None:
        # One line end per line, or somebody's header would begin a request of its own.
        joined, count = self.joined, len(self.pairs)
        ends = joined.count(b"\n"), joined.count(b"\r")
        if ends != (count, count) or b"\0" in joined:
            return FORBIDDEN
        if repeats:
            names = [name.lower() for name, _ in self.pairs]
            if max(map(names.count, (b"content-length", b"transfer-encoding"))) > 1:
                return "The request is framed twice."
        return None


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
        lines: Lines,
        body: bytes | AsyncIterable[bytes],
    ) -> None:
        self.method = method
        self.body: bytes | None = None
        self.stream: AsyncIterable[bytes] | None = None
        self.length_bytes: int | None = None
        self.upgrade_asked = lines.upgrade_asked
        if lines.fault is not None:
            raise RequestUnsendable(lines.fault)
        if isinstance(body, bytes):
            self.body = body
            framing = _frame_whole(method, len(body), lines)
        else:
            self.stream = body
            self.length_bytes, framing = _frame_streamed(lines)
        first = b"%b %b HTTP/1.1\r\n" % (method.encode(), target)
        if not FIRST_LINE.fullmatch(first):
            raise RequestUnsendable(FORBIDDEN)
        if method == "CONNECT":
            raise RequestUnsendable("CONNECT is not forwarded.")
        self.head = b"%b%b%b\r\n" % (first, lines.joined, framing)

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
        return cls(request.method, target, Lines(request.headers.raw), body)

    @property
    def replayable(self) -> bool:
        """Whether sending it twice changes nothing."""
        return self.body is not None and self.method in IDEMPOTENT


def _frame_whole(method: str, size_bytes: int, lines: Lines) -> bytes:
    if lines.coding is not None:
        raise RequestUnsendable("A whole body goes out with its length, not in chunks.")
    declared = lines.length
    if declared is None:
        if size_bytes or method in WITH_CONTENT:
            return b"content-length: %d\r\n" % size_bytes
    elif declared != b"%d" % size_bytes:
        raise RequestUnsendable(
            f"content-length says {declared.decode('latin-1')}, the body has"
            f" {size_bytes} bytes."
        )
    return b""


def _frame_streamed(lines: Lines) -> tuple[int | None, bytes]:
    declared, coding = lines.length, lines.coding
    if coding is not None:
        if coding.lower() != b"chunked" or declared is not None:
            raise RequestUnsendable("A streamed body has a length or is chunked.")
        return None, b""
    if declared is None:
        return None, b"transfer-encoding: chunked\r\n"
    if not declared.isdigit() or len(declared) > 18:
        raise RequestUnsendable("content-length is no number.")
    return int(declared), b""
