"""Silences of each kind end in an error of their own; a slow reader is not a silence."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.upstream.connection import READ_BYTES
from proxy.upstream.errors import (
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamFirstByteTimeout,
    UpstreamIdleTimeout,
)
from proxy.upstream.limits import Limits
from proxy.upstream.stream import HIGH_WATER_BYTES
from tests.proxy.upstream.sending import body_of, exchange, own, post, transport
from tests.proxy.upstream.test_upload import streamed
from tests.proxy.upstream.wire import OK, Peer, upstream

pytestmark = pytest.mark.anyio

SOON_S = 0.05
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 100 C\r\n\r\n"]
)
async def test_h76_no_head_in_time_is_a_first_byte_timeout(said: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(said)
        await peer.ended()

    limits = Limits(first_byte_timeout_s=SOON_S)
    async with upstream(script) as server, transport(limits) as through:
        with pytest.raises(UpstreamFirstByteTimeout) as caught:
            await exchange(through, post(server.url))
        contacted = "yes" if said else "unknown"
        assert (caught.value.contacted, caught.value.status_hint) == (contacted, 504)
        assert through.stats().open_count == 0


async def test_h76_a_pause_in_the_body_is_an_idle_timeout() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"1\r\na\r\n")
        await peer.ended()

    limits = Limits(idle_timeout_s=SOON_S)
    async with upstream(script) as server, transport(limits) as through:
        response = await through.handle_async_request(post(server.url))
        stream = aiter(own(response))
        assert await anext(stream) == b"a"
        with pytest.raises(UpstreamIdleTimeout) as caught:
            await anext(stream)
        assert (caught.value.contacted, caught.value.status_hint) == ("yes", 504)
        assert through.stats().open_count == 0


async def test_h76_a_slow_but_steady_body_is_no_silence() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(10):
            await asyncio.sleep(SOON_S)
            await peer.send(b"1\r\na\r\n")
        await peer.send(b"0\r\n\r\n")

    limits = Limits(idle_timeout_s=SOON_S * 8)
    async with upstream(script) as server, transport(limits) as through:
        assert (await exchange(through, post(server.url)))[1] == b"a" * 10


async def test_h76_an_upstream_that_never_accepts_is_a_connect_timeout() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        try:
            async with transport(Limits(connect_timeout_s=SOON_S)) as through:
                with pytest.raises(UpstreamConnectTimeout) as caught:
                    await exchange(through, post(f"http://127.0.0.1:{port}"))
        finally:
            for filler in fillers:
                filler.close()
    assert (caught.value.contacted, caught.value.status_hint) == ("no", 504)


async def test_h76_an_upstream_that_stops_reading_the_upload_times_out() -> None:
    async def script(peer: Peer) -> None:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        await over.wait()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)

    over = asyncio.Event()
    limits = Limits(first_byte_timeout_s=SOON_S)
    async with upstream(script) as server, transport(limits) as through:
        with pytest.raises(UpstreamFirstByteTimeout):
            await exchange(through, streamed(server.url, endless()))
        over.set()


async def test_a_request_after_a_timeout_is_served() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.ended()
        await peer.send(OK)

    limits = Limits(first_byte_timeout_s=SOON_S, max_connections=1)
    async with upstream(script) as server, transport(limits) as through:
        with pytest.raises(UpstreamError):
            await exchange(through, post(server.url))
        assert (await exchange(through, post(server.url)))[1] == b"ok"


async def test_h74_a_slow_reader_pauses_the_upstream() -> None:
    size = 30_000_000
    blocked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        peer.writer.write(bytes(size))
        blocked.set()
        await peer.writer.drain()

    limits = Limits(idle_timeout_s=SOON_S)
    async with upstream(script) as server, transport(limits) as through:
        response = await through.handle_async_request(post(server.url))
        stream = own(response)
        await blocked.wait()
        # Longer than the idle deadline: a pause of ours is not the upstream's silence.
        await asyncio.sleep(SOON_S * 3)
        taken_bytes = 0
        for _ in range(20):  # TCP opens its window with every read
            held = stream.take()
            taken_bytes += len(held)
            assert len(held) <= HIGH_WATER_BYTES + READ_BYTES
            await asyncio.sleep(SOON_S / 10)
        assert taken_bytes >= HIGH_WATER_BYTES
        assert taken_bytes + len(await body_of(response)) == size
        assert stream.ended


async def test_h74_an_answer_that_ends_while_paused_frees_its_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n"

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(head + bytes(60_000))
            await more.wait()
            await peer.send(bytes(10_000))

    more = asyncio.Event()
    async with upstream(script) as server, transport() as through:
        first = await through.handle_async_request(post(server.url))
        more.set()
        while not own(first).ended:  # noqa: ASYNC110  nothing may read it meanwhile
            await asyncio.sleep(0)
        assert len((await exchange(through, post(server.url)))[1]) == 70_000
        assert (len(own(first).take()), server.connection_count) == (70_000, 1)
