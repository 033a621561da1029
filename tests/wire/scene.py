"""A scene: a scripted upstream, a proxy before it, and ways to see what became of it."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.assemble import Kept
from storage.reading import open_library
from tests.living import Living, RawClient, living_proxy
from tests.scripted_upstream import (
    RawRequest,
    Script,
    ScriptedUpstream,
    Wire,
    scripted_upstream,
)

PATIENCE_S = 10
"""How long a test waits for what must come; it fails after that."""

CHAT_PATH = "/v1/chat/completions"

_SAMPLE = re.compile(r"(\w+?)(?:_total)?(?:\{(.*)\})? (\S+)")


@dataclass(frozen=True)
class Accounts:
    """P3's terms, as `/metrics` tells them."""

    accepted: int
    complete: int
    incomplete: dict[str, int]
    unrecorded: dict[str, int]
    in_flight: int
    queue_bytes: int

    @property
    def balanced(self) -> bool:
        """Whether nothing is missing."""
        ended = sum(self.incomplete.values()) + sum(self.unrecorded.values())
        return self.accepted == self.complete + ended + self.in_flight


@dataclass(frozen=True)
class Scene:
    """What stands on both sides of the proxy, and the file behind it."""

    upstream: ScriptedUpstream
    proxy: Living
    db: Path

    def client(self) -> contextlib.AbstractAsyncContextManager[RawClient]:
        """Connect a raw client."""
        return RawClient.connect(self.proxy.port)

    def kept(self) -> list[Kept]:
        """Return every exchange of the file, oldest first."""
        with open_library(self.db) as library:
            return [library.whole(row) for row in library.rows()]

    async def settled(self) -> list[Kept]:
        """Wait until nothing is under way; return what is kept, P3 having held."""
        while (accounts := await self.accounts()).in_flight:
            assert accounts.balanced
            await asyncio.sleep(0.005)
        assert accounts.balanced
        return self.kept()

    async def one(self) -> Kept:
        """Wait until nothing is under way; return the only exchange."""
        (kept,) = await self.settled()
        return kept

    async def something_waits(self) -> None:
        """Wait until the recorder has something to write."""
        accounts = await self.accounts()
        while not accounts.queue_bytes:
            accounts = await self.accounts()

    async def accounts(self) -> Accounts:
        """Ask `/metrics`."""
        async with self.client() as client:
            await client.send(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            _, headers = await client.head()
            text = (await client.body(headers)).decode()
        found: dict[str, dict[str, int]] = {}
        for line in text.splitlines():
            if sample := _SAMPLE.fullmatch(line):
                name, labels, value = sample.groups()
                found.setdefault(name, {})[labels or ""] = int(float(value))
        ended = found["spiritsafe_exchanges"]

        def by_reason(state: str) -> dict[str, int]:
            pairs = (
                (dict(re.findall(r'(\w+)="(.*?)"', k)), n) for k, n in ended.items()
            )
            return {k["reason"]: n for k, n in pairs if k["state"] == state}

        return Accounts(
            accepted=found["spiritsafe_exchanges_accepted"][""],
            complete=sum(by_reason("complete").values()),
            incomplete=by_reason("incomplete"),
            unrecorded=by_reason("unrecorded"),
            in_flight=found["spiritsafe_exchanges_in_flight"][""],
            queue_bytes=found["spiritsafe_recorder_queue_bytes"][""],
        )


@contextlib.asynccontextmanager
async def scene(
    tmp_path: Path,
    script: Script,
    *,
    limits: dict[str, Any] | None = None,
    patience_s: float = PATIENCE_S,
    **settings: Any,
) -> AsyncIterator[Scene]:
    """Set up a scene; `limits` are settings of its one upstream.

    Raises: `TimeoutError` when the block takes longer than `patience_s`.
    """
    db = tmp_path / "s.db"

    async def bounded(request: RawRequest, wire: Wire) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await script(request, wire)

    async with scripted_upstream(bounded) as upstream:
        if limits is not None:
            settings["upstreams"] = {"default": {"url": upstream.url, **limits}}
        async with living_proxy(db, upstream.url, **settings) as proxy:
            async with asyncio.timeout(patience_s):
                yield Scene(upstream, proxy, db)


async def to_the_end(client: RawClient) -> tuple[bytes, str]:
    """Read until the connection ends; return the bytes, and `fin` or `reset`."""
    data = b""
    try:
        while piece := await client.reader.read(65536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "fin"


def dechunked(raw: bytes) -> tuple[bytes, bool]:
    """Return the data of a chunked body, and whether its last chunk came."""
    body = b""
    while raw:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            assert b"\r\n" == raw
            return body, True
        assert b"\r\n" == raw[size : size + 2]
        body += raw[:size]
        raw = raw[size + 2 :]
    return body, False


async def data_until(client: RawClient, end: bytes) -> bytes:
    """Read a chunked body's data until it ends with `end`."""
    body = b""
    while not body.endswith(end):
        size = int((await client.reader.readuntil(b"\r\n")).strip(), 16)
        assert size, f"the body ended before {end!r}"
        body += await client.reader.readexactly(size)
        await client.reader.readexactly(2)
    return body


def narrow(port: int) -> socket.socket:
    """Return a connected socket whose kernel buffer is small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.setblocking(False)
    return sock


def chunk(data: bytes) -> bytes:
    """Return the data as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)
