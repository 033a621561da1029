"""Upgrades other than to WebSocket are never made (H-77)."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.living import RawClient, living_proxy
from tests.scripted_upstream import CHAT, RawRequest, Wire, completion
from tests.wire.scene import CHAT_PATH, PATIENCE_S, scene

pytestmark = pytest.mark.anyio

TOKENS = ["h2c", "TLS/1.0", "websocket2", "foo, websocket"]
NEXT = b"GET /v1/next HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


@pytest.mark.parametrize("token", TOKENS)
async def test_h77_no_other_upgrade_is_made_and_http_goes_on(
    tmp_path: Path, token: str
) -> None:
    """A server may ignore an offer (RFC 9110 §7.8): what follows is the next request."""
    async with scene(tmp_path, plain) as at, at.client() as client:
        head = f"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: {token}\r\n"
        await client.send(head.encode() + b"connection: Upgrade\r\n\r\n" + NEXT)
        for _ in range(2):
            status, headers = await client.head()
            assert completion() == await client.body(headers)
            assert 200 == status
            assert not {"upgrade", "connection"} & set(headers)
        targets = [request.target for request in at.upstream.requests]
        upgrades = ["upgrade" in request.headers for request in at.upstream.requests]
    assert [b"/v1/models", b"/v1/next"] == targets
    assert not any(upgrades)


@pytest.mark.parametrize("token", TOKENS)
async def test_h77_a_post_that_offers_an_upgrade_is_served_as_it_stands(
    tmp_path: Path, token: str
) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT, f"Upgrade: {token}", "Connection: Upgrade")
        status, headers = await client.head()
        body = await client.body(headers)
        kept = await at.one()
    assert (200, completion()) == (status, body)
    assert CHAT == kept.request


async def test_h77_thousands_of_pipelined_offers_are_each_declined(
    tmp_path: Path,
) -> None:
    offer = b"GET /healthz HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\n\r\n"
    async with (
        scene(tmp_path, plain) as at,
        at.client() as client,
        asyncio.TaskGroup() as both,
    ):
        both.create_task(client.send(offer * 3000))
        for _ in range(3000):
            status, headers = await client.head()
            assert (200, b"ok\n") == (status, await client.body(headers))


async def test_h77_a_client_that_leaves_before_the_switch_is_asked_for_no_longer(
    tmp_path: Path,
) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def silent(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        left.set()
        writer.close()

    head = b"GET /v1/realtime HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n"
    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with (
            living_proxy(tmp_path / "s.db", url) as proxy,
            RawClient.connect(proxy.port) as client,
            asyncio.timeout(PATIENCE_S),
        ):
            await client.send(head + b"connection: Upgrade\r\n\r\n")
            await asked.wait()
            client.reset()
            await left.wait()
