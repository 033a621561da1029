"""One connection to an upstream: one exchange at a time, then the next or the end."""

import asyncio
import math
import os
import select
import ssl
from typing import Protocol

from proxy.upstream.answer import Answer
from proxy.upstream.deadline import Deadline
from proxy.upstream.errors import (
    UpstreamError,
    UpstreamFirstByteTimeout,
    UpstreamGone,
    UpstreamIdleTimeout,
)
from proxy.upstream.limits import Limits
from proxy.upstream.request import Outgoing
from proxy.upstream.stream import AnswerStream

# Larger bodies leave in a write of their own: joining them would copy them.
JOINED_BODY_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
# asyncio's and uvloop's TLS hold up to 512 KiB and one more read of 256 KiB, and at the
# end of the connection asyncio hands over what fits into one buffer and drops the
# rest. (uvloop drops all that waits for a paused reader; the answer is truncated then.)
TLS_READ_BYTES = 1024 * 1024


class Owner(Protocol):
    """Who lends the connection out: the pool."""

    def put_back(self, connection: "Connection") -> None:
        """Take it back: its exchange is complete and another may follow."""

    def forget(self, connection: "Connection") -> None:
        """Take back its slot: it is closed. Called once, idle or in use."""


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection.

    Shapes: `room` is where reads land, `TLS_READ_BYTES` shared by all connections of a
    loop, since a read is used up before the next one begins.
    """

    def __init__(self, limits: Limits, room: memoryview) -> None:
        self.owner: Owner | None = None
        self.connected = False
        self.closed = False
        self.reused = False
        self.inflow: AnswerStream | None = None  # after a 101
        self.keep_alive_s: float | None = None
        self.expires_s = math.inf  # on the loop's clock, while idle
        self._limits = limits
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._poll = select.poll()
        self._tls: ssl.SSLObject | None = None
        self._answer: Answer | None = None
        self._stream: AnswerStream | None = None
        self._head: asyncio.Future[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._sending = False
        self._paused = False
        tick_s = min(limits.first_byte_timeout_s, limits.idle_timeout_s)
        self._deadline = Deadline(self._time_out, tick_s=tick_s)

    # The exchange.

    def is_alive(self) -> bool:
        """Whether nothing has come in since the last answer: no byte, no end (H-80)."""
        return not (self.closed or self._transport.is_closing() or self._poll.poll(0))

    def begin(
        self, outgoing: Outgoing
    ) -> tuple[Answer, AnswerStream, asyncio.Future[None]]:
        """Write the head, and the body where it is at hand.

        Shapes: the future is done once the answer has its head; it raises any
        `UpstreamError` of an exchange. Whoever stops waiting for it gives it up.
        The pool has just found it alive, with no turn of the loop since.
        """
        self._answer = Answer(
            outgoing.method,
            max_head_bytes=self._limits.max_head_bytes,
            upgrade_asked=outgoing.upgrade_asked,
        )
        self._stream = AnswerStream(self)
        self._head = head = self._loop.create_future()
        self._deadline.set(self._limits.first_byte_timeout_s)
        body = outgoing.body
        if body and len(body) <= JOINED_BODY_BYTES:
            self._transport.write(outgoing.head + body)
        else:
            self._transport.write(outgoing.head)
            if body:
                self._transport.write(body)
        return self._answer, self._stream, head

    def give_up(self, head: asyncio.Future[None]) -> None:
        """Close: the wait for the answer's head failed, or was broken off."""
        self.abandon()
        if head.done() and not head.cancelled():
            head.exception()  # retrieved: cancelled in the turn in which it failed

    def start_sending(self) -> None:
        """Note that a streamed body follows: no reuse before `stop_sending`."""
        self._sending = True
        self._deadline.lift()

    def stop_sending(self) -> None:
        """Note that the body is out; from here the answer's head is due."""
        self._sending = False
        if self._answer is not None and not self._answer.head_done:
            self._deadline.set(self._limits.first_byte_timeout_s)

    async def send(self, data: bytes) -> None:
        """Write, and wait while the upstream is behind."""
        if self.closed:
            return
        self._transport.write(data)
        if self._drain is not None:
            self._deadline.set(self._limits.first_byte_timeout_s)
            await asyncio.shield(self._drain)
            if self._answer is None or not self._answer.head_done:
                self._deadline.lift()

    def send_eof(self) -> None:
        """Close the writing half, where the connection can."""
        if not self.closed and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self, *, abort: bool = False) -> None:
        """Close; `abort` gives up what is unwritten. Repeating it is harmless."""
        if self.closed:
            return
        self.closed = True
        self._deadline.cancel()
        if abort or self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()
        self._wake_writer()
        if self.owner is not None:
            self.owner.forget(self)

    def fail(self, error: UpstreamError) -> None:
        """Close, and tell whoever waits why."""
        answer, stream, head = self._answer, self._stream, self._head
        self._answer = self._stream = self._head = None
        if answer is not None and answer.started and error.contacted == "unknown":
            error.contacted = "yes"
        self.close(abort=True)
        if head is not None and not head.done():
            head.set_exception(error)
        if stream is not None:
            stream.fail(error)

    # What the stream calls.

    def pause(self) -> None:
        """Read no more for now; a silence of our making is not the upstream's."""
        if not self.closed and not self._transport.is_closing():
            self._paused = True
            self._deadline.lift()
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and not self.closed and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
            if self._answer is not None:
                self._deadline.set(self._limits.idle_timeout_s)

    def abandon(self) -> None:
        """Close at once: nobody wants the rest."""
        self._answer = self._stream = self._head = None
        self.close(abort=True)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.connected = True
        self._transport = transport  # type: ignore[assignment]  # a stream's protocol gets a Transport
        self._tls = transport.get_extra_info("ssl_object")
        if self._tls is None:
            self._room = self._room[:READ_BYTES]
        descriptor = transport.get_extra_info("socket").fileno()
        self._poll.register(descriptor, select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  the loop's signature
        """Return the room for the next read."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self._take(bytes(self._room[:nbytes]))

    def eof_received(self) -> bool:
        """Take the upstream's clean end: FIN, and close_notify under TLS (H-84)."""
        if self._answer is not None:
            self._end(clean=self._tls is None or _said_goodbye(self._tls))
        elif self._stream is not None:
            self._stream.finish()
            return self._tls is None  # a tunnel may close one half
        else:
            self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection, however it came."""
        if self._answer is not None:
            if self._tls is None and exc is not None and not self._answer.head_done:
                self._read_rest()
            self._end(clean=False)
        elif self._stream is not None:
            self.fail(UpstreamGone("The tunnel's connection was lost."))
        self.close()

    def pause_writing(self) -> None:
        """Make writers wait."""
        self._drain = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writers go on."""
        self._wake_writer()

    def _take(self, data: bytes) -> None:
        answer, stream = self._answer, self._stream
        if answer is None:
            if stream is None:
                self.close(abort=True)  # bytes that nobody asked for (H-21)
            else:
                stream.push(data)
            return
        try:
            body = answer.feed(data)
        except UpstreamError as exc:
            self.fail(exc)
            return
        if not answer.head_done or stream is None:
            return
        if body:
            stream.push(body)
        if answer.complete:
            self._settle(answer, stream)
        elif not self._paused:
            self._deadline.set(self._limits.idle_timeout_s)
        if self._head is not None:
            stream.framing = answer.framing
            if not self._head.done():
                self._head.set_result(None)
            self._head = None

    def _settle(self, answer: Answer, stream: AnswerStream) -> None:
        stream.finish()
        self._answer = self._stream = None
        self._deadline.lift()
        if answer.status == 101:
            self._stream = self.inflow = AnswerStream(self)
            if answer.surplus:
                self.inflow.push(answer.surplus)
            return
        sent = not self._sending and self._transport.get_write_buffer_size() == 0
        if not (answer.reusable and sent) or self._transport.is_closing():
            self.close(abort=not sent)
            return
        self.resume()
        self.reused = True
        self.keep_alive_s = answer.keep_alive_s
        if self.owner is not None:
            self.owner.put_back(self)

    def _end(self, *, clean: bool) -> None:
        answer, stream = self._answer, self._stream
        if answer is None or stream is None:
            return
        try:
            answer.end(clean=clean)
        except UpstreamError as exc:
            self.fail(exc)
        else:
            self._settle(answer, stream)

    def _read_rest(self) -> None:
        """Read what the upstream said before its reset met our write (H-28)."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        try:
            while self._answer is not None:
                data = os.read(descriptor, len(self._room))
                if not data:
                    return
                self._take(data)
        except OSError:
            return

    def _wake_writer(self) -> None:
        drain, self._drain = self._drain, None
        if drain is not None and not drain.done():
            drain.set_result(None)

    def _time_out(self) -> None:
        if self._answer is not None and self._answer.head_done:
            silent_s = self._limits.idle_timeout_s
            self.fail(UpstreamIdleTimeout(f"The answer paused for {silent_s:g} s."))
        else:
            silent_s = self._limits.first_byte_timeout_s
            self.fail(UpstreamFirstByteTimeout(f"No answer within {silent_s:g} s."))


def _said_goodbye(tls: ssl.SSLObject) -> bool:
    """Whether close_notify has come; asyncio reports a bare FIN the same way."""
    try:
        return tls.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
