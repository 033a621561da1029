"""Clients that speak too slowly, and refused ones that go on speaking."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from proxy.front import serve
from tests.living import RawClient
from tests.scripted_upstream import CHAT, RawRequest, Wire, completion
from tests.wire.scene import CHAT_PATH, scene

pytestmark = pytest.mark.anyio

TRICKLE: dict[str, Any] = {"body_timeout_s": 0.2, "min_body_bytes_per_s": 10_000}


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def drip(client: RawClient, data: bytes) -> None:
    """Send bytes one by one until the other side answers."""
    for at in range(len(data)):
        await client.send(data[at : at + 1])
        await asyncio.sleep(0.005)


async def told(client: RawClient) -> tuple[int, str]:
    """Return status and code of an error, after which the connection ended."""
    status, headers = await client.head()
    error = json.loads(await client.body(headers))["error"]
    assert "close" == headers["connection"]
    assert b"" == await client.rest()
    return status, error["code"]


@pytest.mark.parametrize("path", [CHAT_PATH, "/v1/files"])
@pytest.mark.parametrize(
    "framing", ["content-length: 9999", "transfer-encoding: chunked"]
)
async def test_h75_f51_a_body_that_drips_is_cut_with_408(
    tmp_path: Path, path: str, framing: str
) -> None:
    """It never stands still, so only its rate tells; a recorded one reaches nobody."""
    async with scene(tmp_path, plain, **TRICKLE) as at, at.client() as client:
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n"
        await client.send(head.encode())
        async with asyncio.TaskGroup() as tasks:
            dripping = tasks.create_task(drip(client, b"1\r\nx\r\n" * 9999))
            assert (408, "request_timeout") == await told(client)
            dripping.cancel()
        assert [] == at.upstream.requests
        assert (await at.accounts()).balanced


async def test_h75_a_body_that_keeps_the_pace_is_served(tmp_path: Path) -> None:
    """However long it takes: many times the seconds in which some of it has to come."""
    settings: dict[str, Any] = {"body_timeout_s": 0.05, "min_body_bytes_per_s": 1}
    async with scene(tmp_path, plain, **settings) as at, at.client() as client:
        await client.send(
            b"POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n"
        )
        await drip(client, b"x" * 100)
        status, headers = await client.head()
        assert (200, completion()) == (status, await client.body(headers))


async def test_h75_waiting_for_the_upstream_is_not_the_clients_delay(
    tmp_path: Path,
) -> None:
    """An upstream that reads slowly holds the body back, and nobody is cut for it."""
    go = asyncio.Event()

    async def one_slow_reader(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await go.wait()
        while await reader.read(2**20) and not reader.at_eof():
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
            )
            break
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(one_slow_reader, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    limits = {"url": f"http://127.0.0.1:{port}/v1"}
    size = 32 * 2**20
    async with (
        scene(tmp_path, plain, limits=limits, **TRICKLE) as at,
        at.client() as client,
        asyncio.TaskGroup() as tasks,
    ):
        head = f"POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: {size}\r\n\r\n"
        sending = tasks.create_task(client.send(head.encode() + bytes(size)))
        await asyncio.sleep(1)  # five times what a client may take
        go.set()
        assert 200 == (await client.head())[0]
        sending.cancel()
    server.close()


@pytest.mark.parametrize(
    "start", [b"", b"GET ", b"GET /healthz HTTP/1.1\r\nhost: a\r\n"]
)
async def test_h41_f51_a_head_that_never_ends_is_given_up(
    tmp_path: Path, start: bytes
) -> None:
    """One that has begun is told so, who never says a word is left without one."""
    async with scene(tmp_path, plain, head_timeout_s=0.2) as at, at.client() as client:
        await client.send(start)
        if start:
            assert (408, "request_timeout") == await told(client)
        else:
            assert b"" == await client.rest()


async def test_f51_a_head_that_drips_is_given_up_and_others_are_served(
    tmp_path: Path,
) -> None:
    """Also behind a request that was served, and many at once."""
    async with scene(tmp_path, plain, head_timeout_s=0.3) as at:

        async def attack() -> None:
            async with at.client() as client:
                await client.post(CHAT_PATH, CHAT)
                _, headers = await client.head()
                await client.body(headers)
                async with asyncio.TaskGroup() as tasks:
                    dripping = tasks.create_task(drip(client, b"GET /" + b"x" * 9999))
                    assert (408, "request_timeout") == await told(client)
                    dripping.cancel()

        async with asyncio.TaskGroup() as tasks:
            attacks = [tasks.create_task(attack()) for _ in range(50)]
            while not all(one.done() for one in attacks):
                async with at.client() as client:
                    await client.post(CHAT_PATH, CHAT)
                    assert 200 == (await client.head())[0]


async def test_f52_who_connects_and_says_nothing_is_let_go(tmp_path: Path) -> None:
    async with scene(tmp_path, plain, head_timeout_s=0.1) as at:
        clients = [await asyncio.open_connection("127.0.0.1", at.proxy.port)] * 1
        for _ in range(200):
            clients.append(await asyncio.open_connection("127.0.0.1", at.proxy.port))
        assert {b""} == {await reader.read() for reader, _ in clients}
        for _, writer in clients:
            writer.close()


@pytest.mark.parametrize("size", [2**16, 2**22])
async def test_h41_a_refused_head_that_goes_on_still_gets_its_431(
    tmp_path: Path, size: int
) -> None:
    """Written whole before anything is read, as simple clients do: no reset."""
    data = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"x" * 2**16
    async with scene(tmp_path, plain) as at:
        loop = asyncio.get_running_loop()

        def simply() -> bytes:
            with socket.create_connection(("127.0.0.1", at.proxy.port)) as sock:
                sock.sendall(data + b"x" * size)
                sock.shutdown(socket.SHUT_WR)
                got = b""
                while piece := sock.recv(65536):
                    got += piece
                return got

        got = await loop.run_in_executor(None, simply)
    assert got.startswith(b"HTTP/1.1 431 ")
    assert got.endswith(b"}")


@pytest.mark.parametrize("target", ["/nowhere", CHAT_PATH])
async def test_h10_a_refused_upload_that_goes_on_still_gets_its_answer(
    tmp_path: Path, target: str
) -> None:
    """Eight mebibytes are behind the head, and what they hold is no request."""
    body = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 2**18
    limit: dict[str, Any] = {"max_request_bytes": 1000}
    async with scene(tmp_path, plain, **limit) as at, at.client() as client:
        await client.post(target, body)
        expected = 404 if target == "/nowhere" else 413
        assert expected == (await told(client))[0]
        assert [] == at.upstream.requests


async def test_h41_a_refused_first_head_is_not_waited_for_again(tmp_path: Path) -> None:
    """It is looked at once more while its client lingers; the others are served on."""
    head = b"GET /%b HTTP/1.1\r\nhost: a\r\n\r\n" % (b"x" * 2**15)
    async with scene(tmp_path, plain, head_timeout_s=0.04) as at, at.client() as client:
        await client.send(head)
        assert 414 == (await client.head())[0]
        for _ in range(20):  # as many looks, at least
            await client.send(b"x")
            await asyncio.sleep(0.01)
        async with at.client() as other:
            await other.post(CHAT_PATH, CHAT)
            assert 200 == (await other.head())[0]


async def test_an_idle_client_is_kept_for_a_while_after_each_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "KEEP_ALIVE_S", 0.4)
    async with scene(tmp_path, plain, head_timeout_s=0.1) as at, at.client() as client:
        for _ in range(5):  # longer than that, all together
            await client.post(CHAT_PATH, b'{"model":"m","messages":[]}')
            await client.body((await client.head())[1])
            await asyncio.sleep(0.1)
        assert b"" == await client.rest()
