"""Bytes of one connection to one answer: head, body, and where it really ends.

Sans I/O. llhttp parses heads and chunks; it does not know the method of the request,
says nothing at the end of input, reads an unknown transfer coding as "until close", and
hands trailers over as headers (reliability 3). All of that is decided here.
"""

from typing import Literal

import httptools

from proxy.upstream.errors import (
    UpstreamGone,
    UpstreamProtocolError,
    UpstreamTruncated,
)

Framing = Literal["length", "chunked", "close", "none"]

HEAD_END = b"\r\n\r\n"
MAX_INTERIM = 50  # answers 1xx before the final one (H-25)
DECISIVE = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive")
)


class Answer:
    """One answer, fed with slices of any size.

    Shapes: `headers` are the pairs as written, in order; `framing` says what ends the
    body; `started` once any byte came, `head_done` once a final head did, `complete`
    once everything did. Then `surplus` holds what followed a 101, and `reusable` says
    whether another request may follow on the connection.
    Source: RFC 9112 §6.3 (body length), §8 (incomplete messages).
    """

    __slots__ = (
        "_barren_bytes",
        "_decisive",
        "_head",
        "_interim_count",
        "_left_bytes",
        "_max_head_bytes",
        "_method",
        "_parser",
        "_pieces",
        "_upgrade_asked",
        "complete",
        "framing",
        "head_done",
        "headers",
        "keep_alive_s",
        "reason",
        "reusable",
        "started",
        "status",
        "surplus",
        "version",
    )

    def __init__(
        self, method: str, *, max_head_bytes: int, upgrade_asked: bool = False
    ) -> None:
        self._method = method
        self._max_head_bytes = max_head_bytes
        self._upgrade_asked = upgrade_asked
        self._head: bytearray | None = None
        self._interim_count = 0
        self._left_bytes = 0
        self._barren_bytes = 0
        self._pieces: list[bytes] = []
        self._parser: httptools.HttpResponseParser | None = None
        self._decisive: dict[bytes, bytes] = {}
        self.started = self.head_done = self.complete = self.reusable = False
        self.status = 0
        self.reason = self.version = self.surplus = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.framing: Framing = "none"
        self.keep_alive_s: float | None = None

    def feed(self, data: bytes) -> bytes:
        """Return the body bytes among these bytes.

        Raises: `UpstreamProtocolError` when they cannot be an answer.
        """
        if self.head_done:
            return self._feed_body(data)
        self.started = True
        return self._feed_head(data)

    def end(self, *, clean: bool) -> None:
        """Take the end of input; a `clean` one may complete a body framed by it.

        Raises: `UpstreamGone` before any byte, else `UpstreamTruncated`.
        """
        if self.complete:
            return
        if not self.started:
            raise UpstreamGone("The upstream closed the connection without an answer.")
        if self.head_done and self.framing == "close" and clean:
            self.complete = True
            return
        self._parser = None
        part = f"body ({self.framing})" if self.head_done else "head"
        raise UpstreamTruncated(f"The upstream's connection ended within the {part}.")

    def _feed_head(self, data: bytes) -> bytes:
        searched = 0
        if self._head is not None:
            searched = max(0, len(self._head) - 3)
            self._head += data
        seen = data if self._head is None else self._head
        while not self.head_done:
            at = seen.find(HEAD_END, searched)
            if (at if at >= 0 else len(seen) - 3) > self._max_head_bytes:
                raise UpstreamProtocolError(
                    f"The answer's head exceeds {self._max_head_bytes} bytes."
                )
            if at < 0:
                self._head = bytearray(seen) if seen is not self._head else self._head
                return b""
            self._parse_head(bytes(seen[: at + 4]))
            seen, searched = bytes(seen[at + 4 :]), 0
        self._head = None
        return self._feed_body(bytes(seen)) if seen else b""

    def _parse_head(self, raw: bytes) -> None:
        if not raw.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
            raise UpstreamProtocolError("The answer does not begin like HTTP/1.1.")
        self.version = raw[:8]
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            pass  # a 101; whether it was asked for is decided below
        except httptools.HttpParserError as exc:
            if parser.get_status_code() != 101 or not self.complete:
                raise UpstreamProtocolError(f"The answer's head is bad: {exc}") from exc
        self.status = parser.get_status_code()
        self._judge_head(parser)

    def _judge_head(self, parser: httptools.HttpResponseParser) -> None:
        status, self.complete = self.status, False
        if not 100 <= status <= 599:
            raise UpstreamProtocolError(
                f"The answer's status {status:03} is no status."
            )
        if status < 200 and status != 101:
            self._drop_interim()
            return
        if status == 101 and not self._upgrade_asked:
            raise UpstreamProtocolError("The upstream switched protocols unasked.")
        self._choose_framing(parser)
        self.head_done = True

    def _drop_interim(self) -> None:
        self._interim_count += 1
        if self._interim_count > MAX_INTERIM:
            raise UpstreamProtocolError(f"More than {MAX_INTERIM} interim answers.")
        self.headers.clear()
        self._decisive.clear()
        self.reason = b""

    def _choose_framing(self, parser: httptools.HttpResponseParser) -> None:
        coding = self._decisive.get(b"transfer-encoding")
        length = self._decisive.get(b"content-length")
        if coding is not None and (coding != b"chunked" or self.version != b"HTTP/1.1"):
            raise UpstreamProtocolError("The answer's transfer coding is not chunked.")
        self.reusable = self._allows_reuse()
        if self._method == "HEAD" or self.status in {101, 204, 304}:
            self.complete = True
        elif coding is not None:
            self.framing, self._parser = "chunked", parser
        elif length is not None:
            self.framing, self._left_bytes = "length", int(length)
            self.complete = self._left_bytes == 0
        else:
            self.framing, self.reusable = "close", False

    def _allows_reuse(self) -> bool:
        if self.status == 101:
            return False
        tokens = self._decisive.get(b"connection", b"")
        options = {token.strip() for token in tokens.split(b",")} if tokens else ()
        keep_alive = self._decisive.get(b"keep-alive")
        if keep_alive is not None:
            self._read_keep_alive(keep_alive)
        if self.version == b"HTTP/1.0":
            return b"keep-alive" in options
        return b"close" not in options

    def _read_keep_alive(self, value: bytes) -> None:
        for part in value.split(b","):
            name, _, number = part.strip().partition(b"=")
            if name == b"timeout" and number.isdigit() and len(number) < 10:
                self.keep_alive_s = float(number)

    def _feed_body(self, data: bytes) -> bytes:
        if self.complete:
            self._keep_surplus(data)
            return b""
        if self.framing == "close":
            return data
        if self.framing == "chunked":
            return self._feed_chunks(data)
        left = self._left_bytes - len(data)
        if left < 0:
            self._keep_surplus(data[left:])
            data = data[:left]
        self._left_bytes = max(left, 0)
        self.complete = left <= 0
        return data

    def _keep_surplus(self, data: bytes) -> None:
        self.reusable = False
        if self.status == 101:
            self.surplus += data

    def _feed_chunks(self, data: bytes) -> bytes:
        parser = self._parser
        try:
            if parser is not None:
                parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._parser = None
            if not self.complete:
                raise UpstreamProtocolError(f"A chunk is bad: {exc}") from exc
            self.reusable = False
        if self.complete:
            self._parser = (
                None  # it holds our methods: a cycle the collector would meet
            )
        body = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._barren_bytes = 0 if body else self._barren_bytes + len(data)
        if self._barren_bytes > self._max_head_bytes:
            raise UpstreamProtocolError("Trailers or chunk extensions without end.")
        return body

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """Notice a second message behind the end of this one (H-21)."""
        if self.complete:
            self.reusable = False

    def on_status(self, reason: bytes) -> None:
        """Keep the reason phrase."""
        if not self.head_done:
            self.reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; drop a trailer (H-27)."""
        if self.head_done:
            return
        self.headers.append((name, value))
        lower = name.lower()
        if lower in DECISIVE:
            value = value.strip(b" \t").lower()
            before = self._decisive.get(lower)
            self._decisive[lower] = value if before is None else before + b"," + value

    def on_body(self, data: bytes) -> None:
        """Keep the data of a chunk."""
        if not self.complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """Take the last chunk as the end; heads are judged apart."""
        self.complete = True
