"""A scripted upstream: exact bytes on a real socket, and a list of what came in.

A script is an async callable that gets one `Peer` per accepted connection; when it
returns, the connection is closed. `answering` writes the usual one.
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

HEAD_END = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """One accepted connection, as a script sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def head(self) -> bytes:
        """Return the raw head of the next request; raises IncompleteReadError at EOF."""
        return await self.reader.readuntil(HEAD_END)

    async def request(self) -> bytes:
        """Return the next request, head and body, exactly as it came."""
        head = await self.head()
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head + await self._chunks()
        _, found, rest = lower.partition(b"\r\ncontent-length:")
        length = int(rest.split(b"\r\n", 1)[0]) if found else 0
        return head + await self.reader.readexactly(length)

    async def _chunks(self) -> bytes:
        raw = b""
        while True:
            line = await self.reader.readuntil(b"\r\n")
            data = await self.reader.readexactly(int(line, 16) + 2)
            raw += line + data
            if data == b"\r\n":
                return raw

    async def send(self, *slices: bytes) -> None:
        """Write each slice by itself and let the loop turn in between."""
        for piece in slices:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        self.writer.write_eof()

    def shut(self) -> None:
        """Send FIN now, before the loop turns."""
        descriptor = self.writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            twin.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def ended(self) -> None:
        """Wait until the other side has closed, however it does."""
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """A running scripted upstream."""

    def __init__(self, script: Script) -> None:
        self.url = ""
        self.port = 0
        self.requests: list[bytes] = []
        self.connection_count = 0
        self._script = script
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Run the script over one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connection_count += 1
        peer = Peer(reader, writer, self.connection_count)
        try:
            await self._script(peer)
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass  # the other side left, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        """End the scripts that still run."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(*slices: bytes) -> Script:
    """Return a script that gives each request of a connection these slices."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*slices)

    return script


def once(*slices: bytes) -> Script:
    """Return a script that answers one request and then closes cleanly."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*slices)

    return script


@asynccontextmanager
async def upstream(
    script: Script, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Upstream]:
    """Serve a script on a free port of 127.0.0.1."""
    running = Upstream(script)
    server = await asyncio.start_server(
        running.serve, "127.0.0.1", 0, ssl=tls, limit=2**20
    )
    running.port = server.sockets[0].getsockname()[1]
    scheme, host = ("http", "127.0.0.1") if tls is None else ("https", "localhost")
    running.url = f"{scheme}://{host}:{running.port}"
    try:
        yield running
    finally:
        server.close()
        await running.stop()
        await server.wait_closed()
