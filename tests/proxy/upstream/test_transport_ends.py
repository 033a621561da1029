"""Where an answer ends, what follows it, and when its connection serves again."""

import asyncio

import pytest

from proxy.upstream.errors import (
    UpstreamError,
    UpstreamGone,
    UpstreamProtocolError,
    UpstreamTruncated,
)
from proxy.upstream.limits import Limits
from proxy.upstream.tunnel import Tunnel
from tests.proxy.upstream.sending import bare, body_of, exchange, own, post, transport
from tests.proxy.upstream.wire import OK, Peer, answering, once, upstream

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000,
    ],
)
async def test_h20_a_refused_answer_costs_its_connection_only(head: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head if peer.number == 1 else OK)
        await peer.ended()

    async with upstream(script) as server, transport() as through:
        with pytest.raises(UpstreamProtocolError) as caught:
            await exchange(through, post(server.url))
        assert (caught.value.contacted, caught.value.status_hint) == ("yes", 502)
        assert (await exchange(through, post(server.url)))[1] == b"ok"
        assert server.connection_count == 2


async def test_h21_surplus_bytes_reach_no_other_request() -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with upstream(answering(OK + evil)) as server, transport() as through:
        for _ in range(3):
            assert (await exchange(through, post(server.url)))[1] == b"ok"
        assert server.connection_count == 3


async def test_h21_bytes_on_an_idle_connection_end_it() -> None:
    late = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 1:
            await late.wait()
            await peer.send(b"HTTP/1.1 408 Too late\r\nContent-Length: 0\r\n\r\n")
        await peer.ended()
        closed.set()

    closed = asyncio.Event()
    async with upstream(script) as server, transport() as through:
        await exchange(through, post(server.url))
        late.set()
        await closed.wait()
        assert (through.stats().open_count, through.stats().idle_count) == (0, 0)
        assert (await exchange(through, post(server.url)))[1] == b"ok"


TRUNCATED = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "mid chunk": CHUNKED + b"9\r\nhello",
}


@pytest.mark.parametrize("wire", TRUNCATED.values(), ids=TRUNCATED.keys())
@pytest.mark.parametrize("reset", [False, True])
async def test_h22_a_short_body_is_no_clean_end(wire: bytes, *, reset: bool) -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        if reset:
            await arrived.wait()
            peer.reset()

    async with upstream(script) as server, transport() as through:
        response = await through.handle_async_request(post(server.url))
        stream = own(response)
        read = await anext(aiter(stream))
        while read != b"hello":
            read += await anext(aiter(stream))
        arrived.set()
        with pytest.raises(UpstreamTruncated) as caught:
            await anext(aiter(stream))
        assert (stream.ended, caught.value.contacted) == (False, "yes")
        assert through.stats().open_count == 0


async def test_f33_a_reset_within_the_head_is_truncation() -> None:
    async with upstream(once(b"HTTP/1.1 200 O")) as server, transport() as through:
        with pytest.raises(UpstreamTruncated):
            await exchange(through, post(server.url))


async def test_h23_a_body_until_close_says_so() -> None:
    wire = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    async with upstream(once(wire)) as server, transport() as through:
        response, body = await exchange(through, post(server.url))
        assert (body, own(response).framing) == (b"all of it", "close")
        assert through.stats().open_count == 0


async def test_h23_a_reset_ends_a_body_until_close_as_truncated() -> None:
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await arrived.wait()
        peer.reset()

    async with upstream(script) as server, transport() as through:
        response = await through.handle_async_request(post(server.url))
        stream = own(response)
        assert await anext(aiter(stream)) == b"half"
        arrived.set()
        with pytest.raises(UpstreamTruncated):
            await anext(aiter(stream))


async def test_h25_101_opens_a_tunnel_with_what_already_came() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        switch = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        await peer.send(switch + b"first")
        data = await peer.reader.readexactly(4)
        await peer.send(b"echo " + data)
        rest = await peer.reader.read()
        await peer.send(b"rest " + rest)

    async with upstream(script) as server, transport() as through:
        request = bare("GET", server.url)
        request.headers["upgrade"] = "x"
        response = await through.handle_async_request(request)
        assert await body_of(response) == b""
        tunnel = response.extensions["network_stream"]
        assert isinstance(tunnel, Tunnel)
        assert await tunnel.read() == b"first"
        await tunnel.write(b"ping")
        assert await tunnel.read() == b"echo ping"
        await tunnel.write(b"bye")
        tunnel.write_eof()
        assert await tunnel.read() == b"rest bye"
        assert await tunnel.read() == b""
        assert through.stats().open_count == 1
        tunnel.close()
        assert through.stats().open_count == 0
        with pytest.raises(UpstreamGone):
            await tunnel.write(b"late")


async def test_h26_the_next_answer_after_head_is_its_own() -> None:
    async def script(peer: Peer) -> None:
        while True:
            head = await peer.request()
            if head.startswith(b"HEAD"):
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            else:
                await peer.send(OK)

    async with upstream(script) as server, transport() as through:
        response, body = await exchange(through, bare("HEAD", server.url))
        assert (response.headers["content-length"], body) == ("2", b"")
        assert (await exchange(through, post(server.url)))[1] == b"ok"
        assert server.connection_count == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_h30_an_upstream_that_will_close_is_not_reused(wire: bytes) -> None:
    async with upstream(answering(wire)) as server, transport() as through:
        for _ in range(2):
            assert (await exchange(through, post(server.url)))[1] == b"ok"
        assert server.connection_count == 2


async def test_h72_closing_an_unfinished_answer_closes_the_connection() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"1\r\na\r\n")
        await peer.ended()
        gone.set()

    async with upstream(script) as server, transport() as through:
        response = await through.handle_async_request(post(server.url))
        await own(response).aclose()
        await gone.wait()
        assert through.stats().open_count == 0
        with pytest.raises(UpstreamTruncated):
            await anext(aiter(own(response)))


async def test_h72_cancelling_the_wait_for_the_head_closes_the_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.ended()
        gone.set()

    async with upstream(script) as server, transport() as through:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(exchange(through, post(server.url)))
            await asked.wait()
            task.cancel()
        await gone.wait()
        assert through.stats().open_count == 0


async def test_closing_the_transport_ends_what_is_open() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"1\r\na\r\n")
        await peer.ended()

    async with upstream(script) as server, transport(Limits()) as through:
        response = await through.handle_async_request(post(server.url))
        await through.aclose()
        stream = aiter(own(response))
        assert await anext(stream) == b"a"
        with pytest.raises(UpstreamGone) as caught:
            await anext(stream)
        assert caught.value.contacted == "yes"
        with pytest.raises(UpstreamError) as refused:
            await exchange(through, post(server.url))
        assert refused.value.contacted == "no"
