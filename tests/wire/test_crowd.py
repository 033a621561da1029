"""More than fits: connections, requests at once, heads and framing without end."""

import asyncio
import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.front.turn import Turn
from tests.crash.heavy import MIB, peak_bytes
from tests.crash.running import serving
from tests.living import RawClient
from tests.scripted_upstream import CHAT, RawRequest, Wire, completion
from tests.wire.scene import CHAT_PATH, Scene, scene

pytestmark = pytest.mark.anyio


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def healthy(at: Scene) -> None:
    """Ask the proxy's own pages, which no load may keep from answering."""
    for target in (b"/healthz", b"/readyz", b"/metrics"):
        async with at.client() as client:
            await client.send(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % target)
            assert 200 == (await client.head())[0]


@pytest.mark.parametrize("path", [CHAT_PATH, "/v1/files"])
async def test_h87_requests_at_once_are_limited_and_idle_connections_are_not(
    tmp_path: Path, path: str
) -> None:
    go, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def script(_: RawRequest, wire: Wire) -> None:
        asked.release()
        await go.wait()
        await wire.answer(completion())

    async with (
        scene(tmp_path, script, max_requests_at_once=3) as at,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(300):  # idle, after a request or without one
            idle = await stack.enter_async_context(at.client())
            await idle.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            await idle.body((await idle.head())[1])
        clients = [await stack.enter_async_context(at.client()) for _ in range(4)]
        for client in clients[:3]:
            await client.post(path, CHAT)
            await asked.acquire()
        for _ in range(2):
            await clients[3].post(path, CHAT)
            status, headers = await clients[3].head()
            error = json.loads(await clients[3].body(headers))["error"]
            assert (503, "proxy_busy") == (status, error["code"])
            assert ("server_error", "1") == (error["type"], headers["retry-after"])
            assert "no" == headers["x-spiritsafe-upstream-contacted"]
        await healthy(at)
        go.set()
        for client in (*clients[:3], clients[3]):
            if client is clients[3]:
                await client.post(path, CHAT)
            status, headers = await client.head()
            assert (200, completion()) == (status, await client.body(headers))
    assert 4 == len(at.upstream.requests)


async def test_f53_many_connections_leave_room_for_one_more(tmp_path: Path) -> None:
    """All at once, so that they queue before they are accepted."""
    async with scene(tmp_path, plain) as at:
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", at.proxy.port) for _ in range(2000))
        )
        await healthy(at)
        async with at.client() as client:
            await client.post(CHAT_PATH, CHAT)
            assert 200 == (await client.head())[0]
        for _, writer in opened:
            writer.close()


def endless_header() -> Iterator[bytes]:
    yield b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: "
    for _ in range(1024):
        yield b"x" * MIB


def endless_headers() -> Iterator[bytes]:
    yield b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
    for number in range(100):
        yield b"".join(b"x-%d: y\r\n" % (number * 10_000 + it) for it in range(10_000))


def endless_extension() -> Iterator[bytes]:
    yield b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n"
    yield b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;"
    for _ in range(1024):
        yield b"x" * MIB


def endless_extensions() -> Iterator[bytes]:
    yield b"POST /v1/files HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    for _ in range(1024):
        yield b"1;" + b"x" * 1000 + b"\r\nx\r\n"


def endless_trailer() -> Iterator[bytes]:
    yield b"POST /v1/files HTTP/1.1\r\nhost: a\r\n"
    yield b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n"
    for _ in range(1024 * 1024):
        yield b"x: y\r\n" * 1000


async def send_all(client: RawClient, pieces: Iterator[bytes]) -> None:
    """Send until the other side wants no more."""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            await client.send(piece)
            await asyncio.sleep(0)  # an answer that came meanwhile is read first


@pytest.mark.parametrize(
    ("endless", "refused"),
    [
        (endless_header, 431),
        (endless_headers, 431),
        (endless_extension, 400),
        (endless_extensions, 400),
        (endless_trailer, 400),
    ],
)
async def test_h41_f54_what_never_ends_is_refused_and_takes_no_memory(
    tmp_path: Path, endless: Callable[[], Iterator[bytes]], refused: int
) -> None:
    async with serving(tmp_path / "s.db", "http://127.0.0.1:9/v1") as running:
        before = peak_bytes(running)
        async with (
            RawClient.connect(running.port) as client,
            asyncio.TaskGroup() as tasks,
        ):
            sending = tasks.create_task(send_all(client, endless()))
            assert refused == (await client.head())[0]
            sending.cancel()
        assert peak_bytes(running) - before < 2 * MIB


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        (b"GET /healthz HTTP/1.0", {200}),
        (b"GET /healthz HTTP/1.1", {200}),
        (b"GET /healthz HTTP/1.2", {400, 505}),
        (b"GET /healthz HTTP/2.0", {505}),
        (b"GET /healthz HTTP/0.9", {505}),
        (b"GET /healthz HTTP/3", {400, 505}),
        (b"GET /healthz HTTP/1.10", {400}),
        (b"GET /healthz http/1.1", {400}),
        (b"GET /healthz", {400, 505}),
        (b"PRI * HTTP/2.0", {400, 505}),
    ],
)
async def test_h15_each_version_has_its_answer(
    tmp_path: Path, line: bytes, statuses: set[int]
) -> None:
    """Whatever is no HTTP/1.1 or 1.0 is refused, HTTP/2's preface included."""
    async with scene(tmp_path, plain) as at, at.client() as client:
        await client.send(line + b"\r\nhost: a\r\n\r\nSM\r\n\r\n")
        status, headers = await client.head()
        body = await client.body(headers)
        assert status in statuses
        if status == 200:
            assert b"ok\n" == body
        else:
            assert headers["x-spiritsafe-error"] == json.loads(body)["error"]["code"]
            assert b"" == await client.rest()


async def test_s51_what_was_pipelined_and_answered_is_let_go(tmp_path: Path) -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    async with scene(tmp_path, plain) as at, at.client() as client:
        for _ in range(20):  # each time while those before are under way
            await client.send(request * 5)
            await client.body((await client.head())[1])
        for _ in range(80):
            await client.body((await client.head())[1])
        gc.collect()
        turns = [it for it in gc.get_objects() if isinstance(it, Turn)]
        assert len(turns) < 10


async def test_s50_pipelined_requests_are_read_as_they_are_answered(
    tmp_path: Path,
) -> None:
    """So one connection holds what the sockets hold, however much it sends."""
    one = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-pad: %b\r\n\r\n" % (b"p" * 8000)
    requests, most_waiting = 8192, 0
    async with scene(tmp_path, plain) as at, at.client() as client:
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sent < requests:
                await client.send(one * 64)
                sent += 64

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            for answered in range(requests):
                assert 200 == (await client.head())[0]
                await client.reader.readexactly(len(b"ok\n"))
                most_waiting = max(most_waiting, sent - answered)
    assert most_waiting * len(one) < 24 * MIB < requests * len(one)


async def test_h10_what_is_refused_does_not_end_those_before_it(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await go.wait()
        await wire.answer(completion())

    async with scene(tmp_path, script) as at, at.client() as client:
        for _ in range(3):
            await client.post(CHAT_PATH, CHAT)
        lead = (
            b"POST /v1/files HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        await client.send(lead + b"3\r\nabc\r\n")
        await client.send(b"no chunk\r\n")
        go.set()
        for _ in range(3):
            status, headers = await client.head()
            assert (200, completion()) == (status, await client.body(headers))
        assert b"" == await client.rest()
        assert 3 == len(await at.settled())


async def test_h10_the_end_of_a_body_does_not_count_for_the_next(
    tmp_path: Path,
) -> None:
    """Of two requests, cut within the body of each."""
    large, small = b"x" * 2 * MIB, b"y" * 100  # the window has grown
    head = b"POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
    first, second = head % len(large) + large, head % len(small) + small
    async with scene(tmp_path, plain) as at, at.client() as client:
        await client.send(first[:-100_000])
        await asyncio.sleep(0.1)
        await client.send(first[-100_000:] + second[:-30])
        await asyncio.sleep(0.1)
        await client.send(second[-30:])
        for _ in range(2):
            status, headers = await client.head()
            assert 200 == status
            await client.body(headers)
        assert [large, small] == [it.body for it in at.upstream.requests]
