"""A scripted upstream: a plain socket that says what a test wants said, byte by byte."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawRequest:
    """A request as it came over the wire."""

    head: bytes
    body: bytes

    @property
    def target(self) -> bytes:
        """The request target."""
        return self.head.split(b" ", 2)[1]

    @property
    def headers(self) -> dict[str, str]:
        """The headers by lower-case name; of duplicates the last."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.split(":", 1) for line in lines if line)
        return {name.lower(): value.strip() for name, value in pairs}

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """The upstream's end of one connection."""

    def __init__(
        self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> None:
        self.writer = writer
        self.reader = reader

    async def send(self, *slices: bytes) -> None:
        """Send each slice in a write of its own, one turn of the loop apart."""
        for piece in slices:
            if self.writer.is_closing():  # uvloop would raise RuntimeError
                raise ConnectionResetError
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def trickle(
        self, data: bytes, *, size_bytes: int = 1, pause_s: float = 0
    ) -> None:
        """Send the data in slices of this size, with this pause behind each."""
        for start in range(0, len(data), size_bytes):
            await self.send(data[start : start + size_bytes])
            if pause_s:
                await asyncio.sleep(pause_s)

    async def answer(
        self, body: bytes, *, status: int = 200, kind: str = "application/json"
    ) -> None:
        """Send a whole answer with a content-length."""
        head = (
            f"HTTP/1.1 {status} Whatever\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(body)}\r\nx-request-id: req_1\r\n\r\n"
        )
        await self.send(head.encode() + body)

    async def events(self, *events: bytes, end: bool = True) -> None:
        """Send a chunked event stream, an event to a chunk."""
        await self.send(SSE_HEAD)
        for event in events:
            await self.send(b"%x\r\n%b\r\n" % (len(event), event))
        if end:
            await self.send(b"0\r\n\r\n")

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

    def close(self) -> None:
        """Leave with FIN."""
        self.writer.close()

    def half_close(self) -> None:
        """Send no more, and go on listening."""
        self.writer.write_eof()

    async def left(self) -> None:
        """Say nothing until the other side has left; what it sends is lost."""
        with contextlib.suppress(ConnectionResetError):
            while await self.reader.read(65536):
                pass
        self.close()


SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)

Script = Callable[[RawRequest, Wire], Awaitable[None]]


@dataclass
class ScriptedUpstream:
    """What runs, and what it has seen."""

    port: int
    script: Script
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    down: bool = False

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"


@contextlib.asynccontextmanager
async def scripted_upstream(
    script: Script, *, early: bool = False
) -> AsyncIterator[ScriptedUpstream]:
    """Run an upstream that plays `script` for each request until the block ends.

    `gone` is set when a connection was lost while a script was still playing. While
    `down` is, it resets whoever comes. With `early` the script gets a request as soon
    as its head is there; the body is still to be read from the wire.
    """
    open_writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream.connections += 1
        open_writers.add(writer)
        wire = Wire(writer, reader)
        try:
            while True:
                if not upstream.down:
                    request = await read_request(reader, body=not early)
                if upstream.down:
                    wire.reset()
                    return
                upstream.requests.append(request)
                await upstream.script(request, wire)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            upstream.gone.set()
        finally:
            open_writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = ScriptedUpstream(server.sockets[0].getsockname()[1], script)
    try:
        yield upstream
    finally:
        server.close()
        for writer in list(open_writers):
            writer.transport.abort()
        await server.wait_closed()


async def read_request(
    reader: asyncio.StreamReader, *, body: bool = True
) -> RawRequest:
    """Read one request, whatever frames its body; without `body` its head only."""
    head = await reader.readuntil(b"\r\n\r\n")
    bare = RawRequest(head[:-4], b"")
    if not body:
        return bare
    if "content-length" in bare.headers:
        data = await reader.readexactly(int(bare.headers["content-length"]))
    elif bare.headers.get("transfer-encoding") == "chunked":
        data = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            data += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        data = b""
    return RawRequest(head[:-4], data)


def completion(text: str = "hello", **more: Any) -> bytes:
    """Return a chat completion."""
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1760000000,
            "model": "m-1-served",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
        }
        | more
    ).encode()


def delta(text: str, finish: str | None = None) -> bytes:
    """Return one event of a chat stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": "m-1-served",
        "choices": [choice],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"

CHAT = b'{"model":"m-1","messages":[{"role":"user","content":"hi"}]}'
STREAMED = b'{"model":"m-1","stream":true,"messages":[{"role":"user","content":"hi"}]}'
