"""Networks in trouble: many connections, races, partitions, upstreams away (F-31…F-50)."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proxy.upstream.transport import Transport
from tests.fuzz.budget import examples, seed
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    DONE,
    SSE_HEAD,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
)
from tests.wire.scene import (
    CHAT_PATH,
    Scene,
    chunk,
    dechunked,
    narrow,
    scene,
    to_the_end,
)

pytestmark = pytest.mark.anyio


async def whole(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def ask(client: RawClient, body: bytes = CHAT) -> tuple[int, dict[str, str]]:
    """Ask once and read the whole answer."""
    await client.post(CHAT_PATH, body)
    status, headers = await client.head()
    await client.body(headers)
    return status, headers


@pytest.mark.slow
async def test_f31_a_thousand_connections_to_the_upstream_at_once(
    tmp_path: Path,
) -> None:
    """All are open together, all are answered, and no slot is left taken."""
    many, here, go = 1000, 0, asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        nonlocal here
        here += 1
        if here == many:
            go.set()
        await go.wait()
        await wire.answer(completion())

    async def one() -> int:
        async with at.client() as client:
            return (await ask(client))[0]

    limits = {"max_connections": many, "idle_expiry_s": 0.05}
    async with scene(tmp_path, script, limits=limits, patience_s=60) as at:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(one()) for _ in range(many)]
        kept = await at.settled()
        transport = at.proxy.app._upstreams["default"].transport
        assert isinstance(transport, Transport)
        while transport.stats().open_count:
            await at.accounts()
        (pool,) = transport._pools.values()
    assert {200} == {task.result() for task in asked}
    assert (many, many) == (len(kept), at.upstream.connections)
    assert (0, 0, 0) == (pool.slots_used, pool.idle_count, pool.waiting_count)


async def test_f32_an_idle_close_as_we_write_sends_nothing_twice(
    tmp_path: Path,
) -> None:
    """The upstream closes 0 to 5 ms after its answer, just when the next goes out."""
    choose, count = random.Random(seed()), examples(300)

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion())
        await asyncio.sleep(choose.uniform(0, 0.005))
        (wire.close if choose.random() < 0.7 else wire.reset)()

    statuses = []
    async with scene(tmp_path, script, patience_s=600) as at, at.client() as client:
        for number in range(count):
            body = b'{"model":"m","messages":[],"n":%d}' % number
            statuses.append((await ask(client, body))[0])
            await asyncio.sleep(choose.uniform(0, 0.005))
        kept = await at.settled()
    assert set(statuses) <= {200, 502}
    assert 200 in statuses
    numbers = [request.json["n"] for request in at.upstream.requests]
    assert len(set(numbers)) == len(numbers)
    assert count == len(kept)
    assert statuses.count(200) == sum(one.row.state == "complete" for one in kept)


async def test_f38_an_upstream_that_is_away_costs_502s_and_no_more(
    tmp_path: Path,
) -> None:
    """One connection for each request, no storm of them; once it is back all is well."""
    away = 40
    async with scene(tmp_path, whole) as at, at.client() as client:
        assert 200 == (await ask(client))[0]
        before = at.upstream.connections
        at.upstream.down = True
        answers = [await ask(client) for _ in range(away)]
        tried = at.upstream.connections - before
        at.upstream.down = False
        assert 200 == (await ask(client))[0]
        kept = await at.settled()
    assert {502} == {status for status, _ in answers}
    assert tried <= away + 1
    assert 2 == len(at.upstream.requests)
    assert away == sum(one.row.reason == "upstream_error" for one in kept)


async def test_f38_nobody_listening_is_a_502_that_may_be_repeated(
    tmp_path: Path,
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    limits = {"url": f"http://127.0.0.1:{port}/v1"}
    async with scene(tmp_path, whole, limits=limits) as at, at.client() as client:
        for _ in range(5):
            status, headers = await ask(client)
            assert (502, "no") == (status, headers["x-spiritsafe-upstream-contacted"])
            assert "retry-after" in headers


class Link:
    """A line to an upstream that can be cut: then nothing passes, and nothing is said."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.up = asyncio.Event()
        self.up.set()
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator["Link"]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.up.set()
            for writer in list(self._open):
                writer.transport.abort()
            await server.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        far_reader, far = await asyncio.open_connection("127.0.0.1", self._port)
        self._open |= {writer, far}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass(reader, far))
            group.create_task(self._pass(far_reader, writer))
        self._open -= {writer, far}

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while data := await reader.read(65536):
                await self.up.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


async def parted(
    tmp_path: Path, script: Callable[[RawRequest, Wire], Awaitable[None]]
) -> None:
    """Part proxy and upstream in the middle of a stream, and join them again."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        far = await enter(scene(tmp_path / "far", script))
        link = await enter(Link(far.upstream.port).laid())
        limits = {
            "url": f"http://127.0.0.1:{link.port}/v1",
            "idle_timeout_s": 0.2,
            "first_byte_timeout_s": 0.2,
        }
        at: Scene = await enter(scene(tmp_path / "near", whole, limits=limits))
        client = await enter(at.client())
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        await client.reader.readuntil(delta("one"))
        link.up.clear()
        data, ended = dechunked((await to_the_end(client))[0].partition(b"\r\n")[2])
        assert not ended
        assert b"upstream_idle_timeout" in data
        other = await enter(at.client())
        status, headers = await ask(other)
        assert 504 == status
        assert "unknown" == headers["x-spiritsafe-upstream-contacted"]
        link.up.set()
        assert 200 == (await ask(other))[0]
        reasons = [one.row.reason for one in await at.settled()]
        assert ["timeout", "timeout", None] == reasons


async def test_f45_a_partition_is_a_timeout_and_over_at_once_when_it_ends(
    tmp_path: Path,
) -> None:
    async def script(request: RawRequest, wire: Wire) -> None:
        if request.json.get("stream"):
            await wire.send(SSE_HEAD + chunk(delta("one")))
            await wire.left()
        else:
            await wire.answer(completion())

    for name in ("far", "near"):
        (tmp_path / name).mkdir()
    await parted(tmp_path, script)


@pytest.mark.slow
async def test_f50_readers_that_do_not_read_keep_nobody_from_being_served(
    tmp_path: Path,
) -> None:
    """Each pauses its own upstream; one then reads all of it, the others leave."""
    event, readers = b": " + b"x" * 65000 + b"\n\n", 6
    events = 300  # more than any kernel keeps for two connections
    sent = [0] * readers

    async def script(request: RawRequest, wire: Wire) -> None:
        if not request.json.get("stream"):
            await wire.answer(completion())
            return
        number = json.loads(request.body)["n"]
        wire.writer.transport.set_write_buffer_limits(high=0)
        await wire.send(SSE_HEAD)
        for _ in range(events):
            await wire.send(chunk(event))
            sent[number] += 1
        await wire.send(chunk(delta("", "stop") + DONE) + b"0\r\n\r\n")

    async with scene(
        tmp_path,
        script,
        max_kept_answer_bytes=2**16,
        finish_after_client_left_s=0,
        patience_s=60,
    ) as at:
        clients = []
        for number in range(readers):
            pair = await asyncio.open_connection(sock=narrow(at.proxy.port))
            clients.append(RawClient(*pair))
            body = b'{"model":"m","stream":true,"messages":[],"n":%d}' % number
            await clients[-1].post(CHAT_PATH, body)
        async with at.client() as other:
            height = [-1]
            while height != sent or not all(sent):  # until all of them stand still
                height = list(sent)
                for _ in range(10):
                    assert 200 == (await ask(other))[0]
        assert max(sent) < events
        first, *others = clients
        for client in others:
            client.reset()
        _, headers = await first.head()
        body = await first.body(headers)
        first.writer.close()
        kept = await at.settled()
    assert len(event) * events + len(delta("", "stop") + DONE) == len(body)
    assert readers == sum(one.row.state == "incomplete" for one in kept)
    assert kept[0].row.reason == "too_large"
