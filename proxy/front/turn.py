"""The server side of one request: writes the answer, and can cut it off.

uvicorn's own cycle sends chunked bodies to HTTP/1.0 clients, refuses the
content-length of a 304, and gives the application no way to end an answer other than
cleanly. Of it only `run_asgi` is kept, which runs the application and answers for its
defects.
"""

import asyncio
import http
import logging
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

from uvicorn._types import ASGIReceiveEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

BODILESS = frozenset({204, 304})
"""Statuses whose answer has a head only (RFC 9110 §6.4.1)."""

LINGER_OFF = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: closing sends RST and not FIN."""


def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}


def answer_head(status: int, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of an answer that no turn writes, with its empty line."""
    lines = [b"%b: %b\r\n" % pair for pair in pairs]
    return STATUS_LINES[status] + b"".join(lines) + b"\r\n"


class UnsafeHead(Exception):
    """A header of an answer would have broken out of its line."""


class ClientGone(Exception):
    """The client left before its request was whole."""


class Client(Protocol):
    """What a turn needs of its connection."""

    transport: asyncio.Transport
    flow: FlowControl

    def on_response_complete(self) -> None:
        """Go on with the next request: this one is answered."""

    def read_on(self) -> None:
        """Let more of the request come, or of what follows it."""

    def linger(self) -> None:
        """Close so that the answer is seen, though the client is still sending."""


class Turn(RequestResponseCycle):
    """One request and our answer to it, as the application sees the client.

    The application finds it in `scope["extensions"]["spiritsafe"]`. What it notes in
    `notes`, each unit under itself, follows from the request's head alone, its length
    left out: the turns of a connection whose heads are the same share their notes.
    """

    query: bytes | None = None
    """What stands behind the target's first `?`; None where there is none."""

    task: asyncio.Task[None]
    """In which the application runs."""

    when_left: Callable[[], None] | None = None
    """Called once when the client closes its connection before the answer's end."""

    half_closed = False
    """The client has sent FIN: it may have left, or only have finished speaking."""

    late = False
    """The request body comes too slowly: who waits for it is woken (H-75)."""

    fin_is_leaving = False
    """Whether a FIN counts as leaving: nothing on the wire tells the two apart."""

    logger = logging.getLogger("uvicorn.error")  # for `run_asgi`

    # What each turn begins with; uvicorn's own makes all of it, an event too, for each.
    disconnected = False
    unread: bytes | bytearray = b""  # of the request's body, by the application
    more_body = True
    waiting_for_100_continue = False
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _news = False  # the application has not been told what happened last
    _told: asyncio.Event | None = None  # made by who has to wait for news

    def __init__(  # not its parent's
        self,
        scope: HTTPScope,
        notes: dict[object, Any],
        client: Client,
        *,
        keep_alive: bool,
    ) -> None:
        self.scope = scope
        self.notes = notes
        self.transport = client.transport
        self.flow = client.flow
        self.on_response = client.on_response_complete
        self._read_on = client.read_on
        self.keep_alive = keep_alive

    @property
    def left(self) -> bool:
        """Whether the client is known to be gone."""
        return bool(self.disconnected)

    def leave(self) -> None:
        """Tell the application, once, that the client has gone."""
        told, self.when_left = self.when_left, None
        if told is not None and not self.response_complete:
            told()

    def cut(self) -> None:
        """End the answer so that no client can take it for whole (H-22, H-24).

        What was sent is flushed. With HTTP/1.1 framing the missing end tells; an
        answer that only the close would end is ended by a reset.
        """
        if self.disconnected:
            return
        self.disconnected = True
        if self.response_started and self.chunked_encoding is None:
            raw = self.transport.get_extra_info("socket")
            if raw is not None and raw.family != socket.AF_UNIX:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
            self.transport.abort()
        else:
            self.transport.close()

    def take_in(self, piece: bytes) -> None:
        """Keep a piece of the request's body until the application asks for it."""
        if not self.unread:
            self.unread = piece
        else:
            if not isinstance(self.unread, bytearray):
                self.unread = bytearray(self.unread)  # which may grow in its place
            self.unread += piece
        self.stir()

    def take(self) -> bytes | None:
        """Return the request's body where all of it is here: then nobody has to wait.

        None where it is not, and where there is more to tell: `receive` does.
        """
        if self.more_body or self.waiting_for_100_continue or self.late:
            return None
        if self.disconnected or self.response_complete:
            return None
        self._read_on()
        body, self.unread = bytes(self.unread), b""
        self._news = False
        return body

    def stir(self) -> None:
        """Wake the application where it waits for news of its client."""
        self._news = True
        if self._told is not None:
            self._told.set()

    async def receive(self) -> ASGIReceiveEvent:
        """Return what came of the request's body, or that nothing more will."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not (self.disconnected or self.response_complete):
            self._read_on()
            if not self._news:
                self._told = self._told or asyncio.Event()
                self._told.clear()
                await self._told.wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.unread = bytes(self.unread), b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        """Write one ASGI event, waiting while the client reads slower than we write."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_started:
            more = message.get("more_body", False)
            self._write_body(b"", message.get("body", b""), more=more)
        else:
            head = self._head(message["status"], message.get("headers", ()))
            self.transport.write(head)

    async def answer(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Write a whole answer in one write, waiting as `send` does."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if not self.disconnected:
            self._write_body(self._head(status, headers), body, more=False)

    def _head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the head of the answer, and decide how its end will be told."""
        lines = [STATUS_LINES[status]]
        bodiless = self.scope["method"] == "HEAD" or status in BODILESS
        for name, value in headers:
            if name == b"content-length":
                self.chunked_encoding = False
                self.expected_content_length = 0 if bodiless else int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if self.chunked_encoding is None and not bodiless:
            if self.scope["http_version"] == "1.1":
                self.chunked_encoding = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:  # only the close can end this body (RFC 9112 §6.3)
                self.keep_alive = False
        if not self.keep_alive or self.more_body:
            self.keep_alive = False
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or 0 in head:
            raise UnsafeHead("a header of the answer holds CR, LF or NUL: not sent")
        self.response_started = True
        self.waiting_for_100_continue = False
        return head + b"\r\n"

    def _write_body(self, head: bytes, body: bytes, *, more: bool) -> None:
        """Write a piece of the body, behind the head where that was not written yet."""
        if self.scope["method"] == "HEAD":
            body = b""
        framed = body
        if self.chunked_encoding:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                framed += b"0\r\n\r\n"
        elif self.chunked_encoding is False:
            self.expected_content_length -= len(body)
        if head or framed:
            self.transport.write(head + framed)
        if more:
            return
        if self.expected_content_length:
            self.cut()  # never a clean end for a body that is not what its head says
            return
        self._end()

    def _end(self) -> None:
        self.response_complete = True
        self.stir()
        # What is left of a request that was not read is no next request (H-10).
        if self.more_body:
            cast("Client", self.transport.get_protocol()).linger()
            return
        if not self.keep_alive or self.half_closed:
            self.transport.close()
        self.on_response()
