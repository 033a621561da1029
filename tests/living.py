"""A living proxy for tests: real uvicorn on port 0, a real file, in this event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.app import App
from proxy.front.serve import address_of, bind, build_server, serve
from proxy.passage import Clock
from proxy.settings import Settings


@dataclass(frozen=True)
class Living:
    """A running proxy."""

    url: str
    port: int
    db: Path
    app: App
    stop: Callable[[], None]

    @property
    def base_url(self) -> str:
        """What a client puts into OPENAI_BASE_URL."""
        return f"{self.url}/v1"


@contextlib.asynccontextmanager
async def living_proxy(
    db: Path, upstream: str, *, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[Living]:
    """Run a proxy in front of `upstream` until the block ends."""
    own: dict[str, Any] = {"listen": "127.0.0.1:0", "drain_s": 2, "db": db}
    if "default" not in settings.get("upstreams", {}):  # `upstream` would win over it
        own["upstream"] = upstream
    given = Settings(**own | settings)
    app = App(given, clock)
    listening = asyncio.Event()
    server = build_server(app, drain_s=given.drain_s, announce=listening.set)
    sock = bind(given.listen)
    url = address_of(sock)
    port = 0 if url.startswith("unix:") else sock.getsockname()[1]
    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(serve(app, server, sock))
        heard = tasks.create_task(listening.wait())
        await asyncio.wait((served, heard), return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()

        try:
            yield Living(url, port, db, app, server.stop)
        finally:
            server.stop()
            await asyncio.wait((served,))  # a test that fails stops it in order, too


class RawClient:
    """A client that is nothing but a socket: sees order, framing and the end."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port: int) -> AsyncIterator["RawClient"]:
        """Connect to a loopback port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def post(
        self, path: str, body: bytes, *headers: str, version: str = "1.1"
    ) -> None:
        """Send a whole POST."""
        lines = [
            f"POST {path} HTTP/{version}",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self.writer.is_closing():  # uvloop would raise RuntimeError
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def trickle(
        self, data: bytes, *, size_bytes: int = 1, pause_s: float = 0
    ) -> None:
        """Send bytes in slices of this size, with this pause behind each."""
        for start in range(0, len(data), size_bytes):
            await self.send(data[start : start + size_bytes])
            await asyncio.sleep(pause_s)

    def half_close(self) -> None:
        """Send no more, and go on listening."""
        self.writer.write_eof()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read an answer's head; return status and headers (names in lower case)."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return int(first.split(" ")[1]), {name: value for name, _, value in pairs}

    async def body(self, headers: dict[str, str]) -> bytes:
        """Read a whole body, whatever frames it.

        Raises: `asyncio.IncompleteReadError` when it ends before its end.
        """
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.read()
        pieces = []
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            pieces.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(pieces)

    async def rest(self) -> bytes:
        """Read until the other side closes; a reset counts as the end."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := await self.reader.read(65536):
                data += piece
        return data

    def reset(self) -> None:
        """Leave with RST."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:  # else the other side was faster
            sock.setsockopt(
                socket.SOL_SOCKET,
                socket.SO_LINGER,
                b"\x01\x00\x00\x00\x00\x00\x00\x00",
            )
        self.writer.transport.abort()
