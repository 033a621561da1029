"""Heavy load: large bodies at once against a served process, and what it costs it.

`python -m tests.crash.heavy` sends twenty of 100 MB within 512 MiB, and says what came
of it (H-64, F-61).
"""

import asyncio
import base64
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.running import COMMAND, Running, serving
from tests.living import RawClient
from tests.scripted_upstream import completion

MIB = 1024 * 1024

LEAD = (
    b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url",'
    b'"image_url":{"url":"data:image/png;base64,'
)
TAIL = b'"}}]}]}'


@dataclass
class Sink:
    """An upstream that counts what it gets and keeps none of it."""

    port: int = 0
    bodies: Counter[int] = field(default_factory=Counter)
    pause_s: float = 0.0
    answer: bytes = field(default_factory=completion)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer request after request."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                left = length
                while left:
                    left -= len(await reader.read(min(left, MIB)) or b"x" * left)
                self.bodies[length] += 1
                await asyncio.sleep(self.pause_s)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(self.answer), self.answer)
                )
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def sink(pause_s: float = 0.0) -> AsyncIterator[Sink]:
    """Run such an upstream until the block ends."""
    made = Sink(pause_s=pause_s)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=MIB)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def upload(port: int, size_bytes: int, text: bytes, *, declared: bool) -> str:
    """Send one large request; return how it ended: status and code, or `broken`.

    Shapes: `text` is what its image is made of, over and over; without `declared` the
    body comes in chunks.
    """
    framing = "transfer-encoding: chunked"
    if declared:
        framing = f"content-length: {size_bytes}"
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"
    async with RawClient.connect(port) as client, asyncio.TaskGroup() as tasks:
        pieces = made_of(text, size_bytes, declared=declared)
        sending = tasks.create_task(_send(client, head.encode(), pieces))
        try:
            status, headers = await client.head()
            body = await client.body(headers)
        except (asyncio.IncompleteReadError, OSError):
            return "broken"
        finally:
            sending.cancel()
    if status == 200:
        return "200"
    error = json.loads(body)["error"]
    retry = " retry" if "retry-after" in headers else ""
    return f"{status} {error['code']}{retry}"


def made_of(text: bytes, size_bytes: int, *, declared: bool) -> Iterator[bytes]:
    """Yield the pieces of a body, in chunks where its length is not declared."""
    left = size_bytes - len(LEAD) - len(TAIL)
    whole, rest = divmod(left, len(text))
    for piece in (LEAD, *[text] * whole, text[:rest] + TAIL):
        yield piece if declared else b"%x\r\n%b\r\n" % (len(piece), piece)
    if not declared:
        yield b"0\r\n\r\n"


async def _send(client: RawClient, head: bytes, pieces: Iterable[bytes]) -> None:
    with contextlib.suppress(OSError):
        await client.send(head)
        for piece in pieces:
            await client.send(piece)


@dataclass
class Told:
    """What a storm of uploads came to."""

    ends: Counter[str]
    peak_bytes: int
    others: int
    slowest_s: float
    took_s: float

    def __str__(self) -> str:
        ends = ", ".join(f"{count} x {end}" for end, count in sorted(self.ends.items()))
        return (
            f"{ends}; peak {self.peak_bytes / MIB:.0f} MiB; {self.others} others, "
            f"slowest {self.slowest_s:.2f} s; {self.took_s:.1f} s"
        )


async def storm(
    running: Running, count: int, size_bytes: int, text: bytes, *, declared: bool = True
) -> Told:
    """Send so many large bodies at once, and small requests meanwhile."""
    others, slowest_s = 0, 0.0
    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        uploads = [
            tasks.create_task(upload(running.port, size_bytes, text, declared=declared))
            for _ in range(count)
        ]
        while not all(one.done() for one in uploads):
            asked_s = time.perf_counter()
            assert "200" == await upload(running.port, 500, b"x" * 100, declared=True)
            others += 1
            slowest_s = max(slowest_s, time.perf_counter() - asked_s)
            await asyncio.sleep(0.02)
    took_s = time.perf_counter() - started_s
    ends = Counter(one.result() for one in uploads)
    return Told(ends, peak_bytes(running), others, slowest_s, took_s)


def peak_bytes(running: Running) -> int:
    """Return the most memory that a process had so far, as the kernel counts it."""
    lines = Path(f"/proc/{running.process.pid}/status").read_text("ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def within(limit_bytes: int) -> tuple[str, ...]:
    """Return the command that serves within so much memory: the kernel gives no more.

    The limit is of private memory (RLIMIT_DATA), which needs no rights to set.
    """
    limited = f'ulimit -d {limit_bytes // 1024}; exec "$0" "$@"'
    return ("/bin/sh", "-c", limited, *COMMAND)


def noise(size_bytes: int) -> bytes:
    """Return base64 that no compressor makes smaller than three quarters."""
    return base64.b64encode(random.Random(1).randbytes(size_bytes // 4 * 3))


async def main(count: int = 20, size_bytes: int = 100_000_000) -> int:
    """Send so many bodies within 512 MiB; return 1 if one of them was left alone."""
    text = noise(2 * MIB)
    good = True
    for declared in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            async with (
                sink() as upstream,
                serving(
                    Path(folder) / "s.db", upstream.url, command=within(512 * MIB)
                ) as running,
            ):
                told = await storm(running, count, size_bytes, text, declared=declared)
        sys.stdout.write(f"{'declared' if declared else 'chunked'}: {told}\n")
        good = good and not told.ends["broken"] and told.peak_bytes < 512 * MIB
    return not good


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
