"""A refusal that is read ahead: whoever breaks it off, its connection goes back."""

import asyncio
from pathlib import Path

import pytest

from tests.living import RawClient, living_proxy
from tests.scripted_upstream import CHAT, RawRequest, Wire, scripted_upstream

pytestmark = pytest.mark.anyio

HALF_A_REFUSAL = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
    b"content-length: 100\r\n\r\n" + b'{"error":'
)


async def test_a_client_that_leaves_during_a_refusal_frees_the_connection(
    tmp_path: Path,
) -> None:
    came = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(HALF_A_REFUSAL)
        came.set()

    async with (
        asyncio.timeout(10),
        scripted_upstream(script) as upstream,
        living_proxy(
            tmp_path / "s.db", upstream.url, finish_after_client_left_s=0
        ) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", CHAT)
        await came.wait()
        client.reset()
        await upstream.gone.wait()


async def test_a_refusal_that_breaks_off_is_told_and_its_status_kept(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(HALF_A_REFUSAL)
        wire.close()

    async with (
        asyncio.timeout(10),
        scripted_upstream(script) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", CHAT)
        status, headers = await client.head()
        assert (502, "upstream_truncated") == (status, headers["x-spiritsafe-error"])
        assert 1 == len(upstream.requests)
