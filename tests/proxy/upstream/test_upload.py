"""Request bodies that are still arriving, and answers that do not wait for them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import httpx
import pytest

from proxy.upstream.errors import (
    RequestUnsendable,
)
from tests.proxy.upstream.sending import exchange, post, transport
from tests.proxy.upstream.wire import OK, Peer, upstream

pytestmark = pytest.mark.anyio


async def pieces(*items: bytes) -> AsyncIterator[bytes]:
    for item in items:
        yield item


def streamed(
    url: str, body: AsyncIterator[bytes], *headers: tuple[bytes, bytes]
) -> httpx.Request:
    request = httpx.Request("POST", url, headers=list(headers), content=body)
    del request.headers["host"]
    return request


async def test_h08_a_streamed_body_leaves_in_chunks_of_ours() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(OK)

    async with upstream(script) as server, transport() as through:
        for _ in range(2):
            request = streamed(server.url, pieces(b"hello", b"", b"x" * 17))
            assert (await exchange(through, request))[1] == b"ok"
        assert server.connection_count == 1
    assert seen[0].endswith(
        b"\r\n\r\n5\r\nhello\r\n11\r\n" + b"x" * 17 + b"\r\n0\r\n\r\n"
    )
    assert seen[0].lower().count(b"transfer-encoding: chunked") == 1


async def test_h43_a_streamed_body_keeps_its_declared_length() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(OK)

    async with upstream(script) as server, transport() as through:
        for _ in range(2):
            body = pieces(b"he", b"llo")
            request = streamed(server.url, body, (b"Content-Length", b"5"))
            assert (await exchange(through, request))[1] == b"ok"
        assert server.connection_count == 1
    assert seen[0] == b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("body", [b"four", b"sixsix"])
async def test_a_streamed_body_of_another_length_is_broken_off(body: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.ended()

    async with upstream(script) as server, transport() as through:
        request = streamed(server.url, pieces(body), (b"Content-Length", b"5"))
        with pytest.raises(RequestUnsendable) as caught:
            await exchange(through, request)
        assert caught.value.contacted == "unknown"
        assert through.stats().open_count == 0


class ClientLeftError(Exception):
    """What a body raises when its client has gone."""


async def test_what_a_streamed_body_raises_comes_out_and_ends_the_upload() -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.ended()
        gone.set()

    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise ClientLeftError

    async with upstream(script) as server, transport() as through:
        with pytest.raises(ClientLeftError):
            await exchange(through, streamed(server.url, broken()))
        await gone.wait()
        assert through.stats().open_count == 0


EARLY = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"


@pytest.mark.parametrize("reset", [False, True])
async def test_h28_an_early_answer_stops_the_upload(*, reset: bool) -> None:
    stopped = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.reader.readexactly(100_000)
        await peer.send(EARLY)
        if not reset:
            await peer.ended()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            stopped.set()

    async with upstream(script) as server, transport() as through:
        request = streamed(server.url, endless(), (b"Content-Length", b"100000000000"))
        response, body = await exchange(through, request)
        assert (response.status_code, body) == (413, b"large")
        assert through.stats().open_count == 0
        await stopped.wait()


async def test_h28_an_early_answer_does_not_wait_for_a_silent_client() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(EARLY)
        await peer.ended()

    async def silent() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with upstream(script) as server, transport() as through:
        response, body = await exchange(through, streamed(server.url, silent()))
        assert (response.status_code, body) == (413, b"large")


async def test_f39_an_early_answer_to_a_whole_large_body_is_relayed() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(EARLY)

    async with upstream(script) as server, transport() as through:
        response, body = await exchange(through, post(server.url, bytes(50_000_000)))
        assert (response.status_code, body) == (413, b"large")
        assert through.stats().open_count == 0


async def test_h28_an_answer_survives_the_reset_that_our_write_meets() -> None:
    async def writing_into_a_reset() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(0)
        with listener.accept()[0] as answering:
            answering.sendall(EARLY)
            answering.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        yield b"x" * 65536
        await asyncio.Event().wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with transport() as through:
            request = streamed(url, writing_into_a_reset())
            response, body = await exchange(through, request)
    assert (response.status_code, body) == (413, b"large")
