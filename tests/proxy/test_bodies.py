"""A request body that stalls is given up, and nobody upstream hears of it (H-75)."""

import json
from pathlib import Path

import pytest

from tests.living import RawClient, living_proxy
from tests.scripted_upstream import RawRequest, Wire, completion, scripted_upstream

pytestmark = pytest.mark.anyio


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


@pytest.mark.parametrize("sent", [b"", b'{"model":'], ids=["head_only", "half"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/moderations"])
async def test_h75_a_body_that_stalls_gets_408(
    tmp_path: Path, path: str, sent: bytes
) -> None:
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url, body_timeout_s=0.05) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n"
        await client.send(head.encode() + sent)
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        assert b"" == await client.rest()  # what comes late is no next request (H-10)
    assert (408, "request_timeout") == (status, error["code"])
    assert [] == upstream.requests


async def test_a_body_that_comes_slowly_and_in_time_is_served(tmp_path: Path) -> None:
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url, body_timeout_s=30) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n"
        )
        for piece in (b"{", b"}"):
            await client.send(piece)
        status, headers = await client.head()
        assert completion() == await client.body(headers)
    assert 200 == status
    assert {"store": True} == upstream.requests[0].json
