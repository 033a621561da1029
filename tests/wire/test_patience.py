"""Stalls, retries and pools of connections (H-76, H-80 to H-83, F-35)."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

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
from tests.wire.scene import CHAT_PATH, chunk, dechunked, scene, to_the_end

pytestmark = pytest.mark.anyio

SHORT = {"first_byte_timeout_s": 0.1, "idle_timeout_s": 0.1, "connect_timeout_s": 0.1}


async def whole(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def test_h76_f35_a_stall_before_the_head_is_a_504_in_an_envelope(
    tmp_path: Path,
) -> None:
    over = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n")  # half a head is none
        await over.wait()

    async with scene(tmp_path, script, limits=SHORT) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        kept = await at.one()
        over.set()
    assert (504, "upstream_first_byte_timeout") == (status, error["code"])
    assert "retry-after" not in headers
    assert ("incomplete", "timeout") == (kept.row.state, kept.row.reason)


async def test_h76_f35_a_stall_in_connecting_is_a_504_that_may_be_repeated(
    tmp_path: Path,
) -> None:
    """A listener whose queue is full lets SYNs go unanswered, like a black hole."""
    hole = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = hole.getsockname()[1]
    fillers = [socket.socket() for _ in range(4)]
    for one in fillers:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    limits = {"url": f"http://127.0.0.1:{port}/v1", **SHORT}
    async with scene(tmp_path, whole, limits=limits) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        kept = await at.one()
    for one in [hole, *fillers]:
        one.close()
    assert (504, "upstream_connect_timeout") == (status, error["code"])
    assert "no" == headers["x-spiritsafe-upstream-contacted"]
    assert "1" == headers["retry-after"]
    assert "timeout" == kept.row.reason


@pytest.mark.parametrize("body", [CHAT, STREAMED], ids=["plain", "streamed"])
async def test_h76_f35_a_stall_in_the_body_is_no_clean_end(
    tmp_path: Path, body: bytes
) -> None:
    over = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        json_head = SSE_HEAD.replace(b"text/event-stream", b"application/json")
        await wire.send(SSE_HEAD if body is STREAMED else json_head)
        await wire.send(chunk(delta("one")))
        await over.wait()

    async with scene(tmp_path, script, limits=SHORT) as at, at.client() as client:
        await client.post(CHAT_PATH, body)
        await client.head()
        data, ended = dechunked((await to_the_end(client))[0])
        kept = await at.one()
        over.set()
    assert not ended
    assert (b"upstream_idle_timeout" in data) == (body is STREAMED)
    assert ("incomplete", "timeout") == (kept.row.state, kept.row.reason)
    assert delta("one") == kept.answer


async def test_h76_an_upstream_that_keeps_talking_never_runs_out_of_time(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(SSE_HEAD)
        until_s = asyncio.get_running_loop().time() + 0.5  # five idle times
        while asyncio.get_running_loop().time() < until_s:
            await wire.send(chunk(b": keep-alive\n\n"))
        await wire.send(chunk(delta("one", "stop") + DONE) + b"0\r\n\r\n")

    async with scene(tmp_path, script, limits=SHORT) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        _, headers = await client.head()
        assert (await client.body(headers)).endswith(DONE)
        kept = await at.one()
    assert "complete" == kept.row.state


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_h80_a_post_that_died_on_a_used_connection_is_not_sent_again(
    tmp_path: Path, how: str
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        if len(at.upstream.requests) % 2:
            await wire.answer(completion())
        elif how == "reset":
            wire.reset()
        else:
            wire.close()

    async with scene(tmp_path, script) as at, at.client() as client:
        statuses = []
        for _ in range(4):
            await client.post(CHAT_PATH, CHAT)
            status, headers = await client.head()
            await client.body(headers)
            statuses.append(status)
        await at.settled()
    assert [200, 502, 200, 502] == statuses
    assert 4 == len(at.upstream.requests)


async def test_h80_a_connection_that_died_while_idle_costs_nobody_anything(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion())
        wire.close()

    async with scene(tmp_path, script) as at, at.client() as client:
        for _ in range(5):
            await client.post(CHAT_PATH, CHAT)
            status, headers = await client.head()
            await client.body(headers)
            assert 200 == status
        assert 5 == len(await at.settled())
    assert 5 == at.upstream.connections


async def test_h82_past_its_connections_requests_wait_and_then_are_told_so(
    tmp_path: Path,
) -> None:
    go, asked = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        asked.set()
        await go.wait()
        await wire.answer(completion())

    limits = {"max_connections": 1, "pool_timeout_s": 0.1}
    async with (
        scene(tmp_path, script, limits=limits) as at,
        at.client() as first,
        at.client() as second,
    ):
        await first.post(CHAT_PATH, CHAT)
        await asked.wait()
        await second.post(CHAT_PATH, CHAT)
        status, headers = await second.head()
        error = json.loads(await second.body(headers))["error"]
        assert (503, "upstream_pool_timeout") == (status, error["code"])
        assert "no" == headers["x-spiritsafe-upstream-contacted"]
        assert "retry-after" in headers
        go.set()
        for client in (first, second):
            if client is second:
                await client.post(CHAT_PATH, CHAT)
            status, headers = await client.head()
            assert (200, completion()) == (status, await client.body(headers))
        await at.settled()
    assert (1, 2) == (at.upstream.connections, len(at.upstream.requests))


async def test_h83_a_name_that_leads_nowhere_is_a_502(tmp_path: Path) -> None:
    limits = {"url": "http://nobody.invalid/v1"}
    async with scene(tmp_path, whole, limits=limits) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        kept = await at.one()
    assert (502, "upstream_connect_failed") == (status, error["code"])
    assert "no" == headers["x-spiritsafe-upstream-contacted"]
    assert "upstream_error" == kept.row.reason
