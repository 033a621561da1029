"""WebSocket upgrades: once the upstream has switched, bytes both ways, unread.

Frames, subprotocols, extensions and close codes are the two ends' own business.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import httptools
from uvicorn.config import Config
from uvicorn.server import ServerState

HIGH_WATER_BYTES = 64 * 1024
"""Bytes from the client that wait for the upstream before reading pauses."""


class FarEnd(Protocol):
    """The upstream's connection after its 101, as the transport hands it over."""

    async def read(self) -> bytes:
        """Return the next bytes, or none at the end."""

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the upstream reads slower."""

    def close(self) -> None:
        """Let go of the connection."""


class UpgradeHead:
    """The head of an upgrade request, as uvicorn hands it over.

    Shapes: `target` exactly as sent; `headers` in order, names in lower case.
    """

    def __init__(self, head: bytes) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserUpgrade):  # where each one ends
            parser.feed_data(head)
        self.method: str = parser.get_method().decode("ascii")

    def on_url(self, url: bytes) -> None:
        """Collect the target."""
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header."""
        self.headers.append((name, value))


class Tunnel(asyncio.Protocol):
    """The client's side of an upgraded connection: uvicorn's `ws` protocol class."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002  uvicorn names it
    ) -> None:
        self._config = config
        self._state = server_state
        self._transport: asyncio.Transport
        self._head: UpgradeHead | None = None
        self._waiting = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended = False
        self._joining: asyncio.Task[None] | None = (
            None  # until the upstream has switched
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the HTTP protocol."""
        # uvloop's transports are no subclasses of asyncio's, only like them
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]  # it has `shutdown`, which is all that is called

    def data_received(self, data: bytes) -> None:
        """Take the request head first, and the client's frames after it."""
        if self._head is None:
            self._head = UpgradeHead(data)
            serve: Callable[[UpgradeHead, Tunnel], Awaitable[None]]
            serve = self._config.loaded_app.tunnel
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._serve(serve))  # uvicorn's set owns it
            self._state.tasks.add(task)
            task.add_done_callback(self._state.tasks.discard)
            self._joining = task
            return
        self._waiting += data
        self._arrived.set()
        if len(self._waiting) > HIGH_WATER_BYTES:
            self._transport.pause_reading()

    async def _serve(
        self, serve: Callable[[UpgradeHead, "Tunnel"], Awaitable[None]]
    ) -> None:
        assert self._head is not None  # noqa: S101  set before the task starts
        try:
            await serve(self._head, self)
        finally:
            self._transport.close()

    def eof_received(self) -> bool:
        """Pass the end on; the other half stays open."""
        self._ended = True
        self._arrived.set()
        return True

    def connection_lost(self, _: Exception | None) -> None:
        """Wake whoever waits for the client, or ask the upstream no longer."""
        if self._joining is not None:
            self._joining.cancel()
        self._state.connections.discard(self)
        self._ended = True
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """Hold the upstream's bytes back: the client reads slower."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let the upstream's bytes come again."""
        self._writable.set()

    def shutdown(self) -> None:
        """End the tunnel when the server stops; frames cannot be drained."""
        self._transport.close()

    async def read(self) -> bytes:
        """Return the client's next bytes, or none at its end."""
        while not self._waiting and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._waiting)
        self._waiting.clear()
        if not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes to the client, waiting while it reads slower."""
        if not self._transport.is_closing():
            self._transport.write(data)
        await self._writable.wait()

    async def join(self, far: FarEnd) -> None:
        """Carry bytes both ways until either side has ended."""
        self._joining = None
        try:
            async with asyncio.TaskGroup() as both:
                inward = both.create_task(_carry(far.read, self.write))
                outward = both.create_task(_carry(self.read, far.write))
                await asyncio.wait(
                    (inward, outward), return_when=asyncio.FIRST_COMPLETED
                )
                inward.cancel()
                outward.cancel()
        finally:
            far.close()


async def _carry(
    read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]
) -> None:
    while data := await read():
        await write(data)
