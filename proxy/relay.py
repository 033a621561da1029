"""Relays one answer chunk by chunk onto the wire and onto the tape.

It is also the one place that holds back the end of an answer until told to let go.
"""

from collections import deque
from collections.abc import Awaitable, Callable

import httpx
from starlette.types import Send

from proxy.answering import error_event
from proxy.errors import Refusal
from proxy.front.turn import Turn
from proxy.patience import Patience
from proxy.tape import Tape
from proxy.terminal import Terminal
from storage.recorder import Recorder
from storage.records import Endpoint

AFTER_TERMINAL_S = 1.0
"""How long an upstream may take to close a stream that has said it is over."""


class Relay:
    """The relaying of one answer, from its head to its held end.

    `sse` is set with the head; `terminal` once the terminal event came by.
    """

    def __init__(
        self, turn: Turn, send: Send, tape: Tape, *, recorder: Recorder
    ) -> None:
        self._turn = turn
        self._send = send
        self._tape = tape
        self._recorder = recorder
        self._held: list[bytes] = []
        self._head_sent = False
        self._last_sent = b""
        self._back: deque[bytes] = deque()  # what is not written yet
        self._let_go: Callable[[], Awaitable[None]] | None = None
        self.sse = False
        self.terminal = False

    @property
    def head_sent(self) -> bool:
        """Whether the client has the head of an answer already."""
        return self._head_sent

    async def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer."""
        self._head_sent = True
        await self._send(
            {"type": "http.response.start", "status": status, "headers": headers}
        )

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send an answer of which nothing was sent: its head, and what is held."""
        self._head_sent = True
        await self._turn.answer(status, headers, self._let_out())

    def hold(self, let_go: Callable[[], Awaitable[None]]) -> None:
        """Hold all of the answer back, as long as the tape has room for it.

        Where it has none any more, `let_go` is called, and has to send the head.
        """
        self._let_go = let_go

    def whole(self, body: bytes, now_ns: int) -> None:
        """Tape and hold an answer that came in one piece."""
        self._tape.add(body, now_ns)
        self._held.append(body)

    async def events(
        self,
        stream: httpx.AsyncByteStream,
        endpoint: Endpoint,
        *,
        now_ns: Callable[[], int],
        patience: Patience,
    ) -> None:
        """Relay an event stream; from its terminal event on, tape and hold.

        `patience` gets short at the terminal event: an upstream that then keeps its
        connection open holds up nobody.
        """
        terminal = Terminal(endpoint)
        async for chunk in stream:
            self._tape.add(chunk, now_ns())
            if self.terminal:
                self._held.append(chunk)
                continue
            end = terminal.feed(chunk)
            if end is None:
                await self._pass(chunk)
                await self._pace()
                continue
            self.terminal = True
            patience.lasts(AFTER_TERMINAL_S)
            self._held.append(chunk[end:])
            if end:
                await self._pass(chunk[:end])

    async def body(
        self,
        stream: httpx.AsyncByteStream,
        *,
        now_ns: Callable[[], int],
        lookahead: bool,
    ) -> None:
        """Relay any other body, with `lookahead` one chunk behind what was read.

        So the last bytes are held without knowing beforehand which they are. Without
        `lookahead`, for dialects we cannot follow, only the end of the message is.
        """
        async for chunk in stream:
            self._tape.add(chunk, now_ns())
            await self._pace()
            if not lookahead:
                await self._pass(chunk)
                continue
            self._held.append(chunk)
            if len(self._held) > 1:
                await self._pass(self._held.pop(0))

    async def release(self) -> None:
        """Send what was held, and the end of the answer."""
        body = self._let_out()
        await self._send(
            {"type": "http.response.body", "body": body, "more_body": False}
        )

    def _let_out(self) -> bytes:
        """Return what is held, and hold nothing any more."""
        body = b"".join((*self._back, *self._held))
        self._back.clear()
        self._held.clear()
        return body

    async def cut(self, failure: Refusal | None) -> None:
        """End the answer so that it cannot be taken for whole (style rule 15)."""
        self._back.clear()
        self._held.clear()
        if failure is not None and self.sse:
            event = error_event(self._tape.endpoint, failure)
            await self._pass(self._event_boundary() + event)
        self._turn.cut()

    async def _pass(self, chunk: bytes) -> None:
        self._back.append(chunk)  # until it is written: who waits may be cancelled
        if self._let_go is not None:
            if self._tape.whole:
                return
            let_go, self._let_go = self._let_go, None
            await let_go()
        while self._back:
            self._last_sent = self._back[0]
            await self._send(
                {
                    "type": "http.response.body",
                    "body": self._last_sent,
                    "more_body": True,
                }
            )
            self._back.popleft()

    async def _pace(self) -> None:
        """Read on only when the recorder has room for more (back-pressure)."""
        if self._recorder.full:
            await self._recorder.room()

    def _event_boundary(self) -> bytes:
        """Return what ends an event that the upstream left unfinished."""
        if not self._last_sent or self._last_sent.endswith((b"\n\n", b"\r\n\r\n")):
            return b""
        return b"\n\n"
