"""WebSockets through the proxy: a second implementation at both ends, then the client's.

Nothing of them is recorded; what arrives is what was sent, in both directions.
"""

import asyncio
import contextlib
import json
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme
from openai import AsyncOpenAI
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from storage.reading import open_library
from tests.living import Living, living_proxy

pytestmark = pytest.mark.anyio

PATIENCE_S = 20
"""How long a test waits for what must come; it fails after that."""

Play = Callable[[ServerConnection], Awaitable[None]]


@dataclass
class Upstream:
    """A WebSocket server, and the requests it was asked to switch."""

    url: str
    asked: list[Request] = field(default_factory=list)


async def echo(socket: ServerConnection) -> None:
    """Send every message back."""
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            await socket.send(message)


def choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Agree on `realtime` where it is offered."""
    realtime = Subprotocol("realtime")
    return realtime if realtime in offered else None


@contextlib.asynccontextmanager
async def sockets(
    folder: Path, play: Play = echo, *, tls: bool = False, refusal: bool = False
) -> AsyncIterator[tuple[Upstream, Living]]:
    """Run a proxy before a WebSocket server until the block ends."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")

    def look(socket: ServerConnection, request: Request) -> Response | None:
        upstream.asked.append(request)
        return socket.respond(403, "no realtime for you\n") if refusal else None

    async with serve(
        play,
        "localhost",
        0,
        select_subprotocol=choose,
        process_request=look,
        max_size=None,
        ssl=context if tls else None,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        upstream = Upstream(f"{'https' if tls else 'http'}://localhost:{port}/v1")
        default: dict[str, Any] = {"url": upstream.url}
        if tls:
            default["ca_file"] = folder / "ca.pem"
        async with (
            living_proxy(
                folder / "s.db", upstream.url, upstreams={"default": default}
            ) as proxy,
            asyncio.timeout(PATIENCE_S),  # pytest-timeout cannot break into uvloop
        ):
            yield upstream, proxy


def address(proxy: Living, target: str) -> str:
    """Return where a client finds `target` on the proxy."""
    return f"ws://127.0.0.1:{proxy.port}{target}"


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_messages_pass_both_ways_as_they_are(
    tmp_path: Path, compression: str | None
) -> None:
    """Text stays text, binary stays binary, a megabyte comes whole and in order."""
    noise = random.Random(1).randbytes(2**20)
    sent: list[str | bytes] = ["täxt 🥃", b"\x00\xff\x81", "", b"", noise]
    sent += [noise.hex(), "last"]
    async with (
        sockets(tmp_path) as (_, proxy),
        connect(
            address(proxy, "/v1/realtime?model=m"),
            max_size=None,
            compression=compression,
        ) as socket,
    ):
        for message in sent:
            await socket.send(message)
        received = [await socket.recv() for _ in sent]
    assert sent == received


async def test_both_sides_may_speak_at_once(tmp_path: Path) -> None:
    """The upstream streams while the client does: neither waits for the other."""

    async def chatter(socket: ServerConnection) -> None:
        async with asyncio.TaskGroup() as both:
            hearing = both.create_task(hear(socket))
            for number in range(200):
                await socket.send(str(number) * 1000)
            await socket.send(str(await hearing))

    async def hear(socket: ServerConnection) -> int:
        return sum([len(await socket.recv()) for _ in range(200)])

    async with (
        sockets(tmp_path, chatter) as (_, proxy),
        connect(address(proxy, "/v1/realtime")) as socket,
    ):
        for _ in range(200):
            await socket.send(b"x" * 1000)
        told = [await socket.recv() for _ in range(201)]
    assert [str(number) * 1000 for number in range(200)] == told[:200]
    assert "200000" == told[200]


async def test_a_fragmented_message_and_a_ping_pass(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[str]:
        for piece in ("one ", "two ", "three"):
            yield piece

    async with (
        sockets(tmp_path) as (_, proxy),
        connect(address(proxy, "/v1/realtime")) as socket,
    ):
        await socket.send(pieces())
        assert "one two three" == await socket.recv()
        pong = await socket.ping(b"are you there")
        assert await pong >= 0


async def test_the_request_arrives_as_the_client_made_it(tmp_path: Path) -> None:
    """Target, subprotocols and key; of several subprotocols the upstream's is agreed."""
    target = "/v1/realtime?model=gpt%2Dx&intent=a%20b&empty=&x"
    async with (
        sockets(tmp_path) as (upstream, proxy),
        connect(
            address(proxy, target),
            subprotocols=[Subprotocol("realtime"), Subprotocol("openai-beta.v1")],
            additional_headers={
                "Authorization": "Bearer sk-1",
                "OpenAI-Beta": "realtime=v1",
                "x-spiritsafe-tags": "a=b",
            },
        ) as socket,
    ):
        assert "realtime" == socket.subprotocol
    (asked,) = upstream.asked
    assert target == asked.path
    assert "realtime, openai-beta.v1" == asked.headers["sec-websocket-protocol"]
    assert "Bearer sk-1" == asked.headers["authorization"]
    assert "realtime=v1" == asked.headers["openai-beta"]
    assert upstream.url == f"http://{asked.headers['host']}/v1"
    assert "x-spiritsafe-tags" not in asked.headers


async def test_the_upstreams_close_is_carried(tmp_path: Path) -> None:
    async def leave(socket: ServerConnection) -> None:
        await socket.send("bye")
        await socket.close(4002, "session expired")

    async with (
        sockets(tmp_path, leave) as (_, proxy),
        connect(address(proxy, "/v1/realtime")) as socket,
    ):
        assert "bye" == await socket.recv()
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert (4002, "session expired") == (socket.close_code, socket.close_reason)


async def test_the_clients_close_is_carried(tmp_path: Path) -> None:
    closed: asyncio.Future[tuple[int | None, str | None]] = asyncio.Future()

    async def listen(socket: ServerConnection) -> None:
        await socket.wait_closed()
        closed.set_result((socket.close_code, socket.close_reason))

    async with sockets(tmp_path, listen) as (_, proxy):
        async with connect(address(proxy, "/v1/realtime")) as socket:
            await socket.close(4321, "enough")
        assert (4321, "enough") == await closed


async def test_a_client_that_is_cut_off_is_told_to_the_upstream(
    tmp_path: Path,
) -> None:
    """Without a close of its own, the upstream sees the connection end: 1006."""
    closed: asyncio.Future[int | None] = asyncio.Future()

    async def listen(socket: ServerConnection) -> None:
        await socket.wait_closed()
        closed.set_result(socket.close_code)

    async with sockets(tmp_path, listen) as (_, proxy):
        async with connect(address(proxy, "/v1/realtime")) as socket:
            socket.transport.abort()
        assert 1006 == await closed


async def test_a_refusal_is_relayed(tmp_path: Path) -> None:
    async with sockets(tmp_path, refusal=True) as (_, proxy):
        with pytest.raises(InvalidStatus) as caught:
            await connect(address(proxy, "/v1/realtime?model=m"))
    answer = caught.value.response
    assert 403 == answer.status_code
    assert b"no realtime for you\n" == answer.body


async def test_an_upstream_that_is_not_there_is_an_error_of_the_proxy(
    tmp_path: Path,
) -> None:
    async with living_proxy(tmp_path / "s.db", "http://127.0.0.1:1/v1") as proxy:
        with pytest.raises(InvalidStatus) as caught:
            await connect(address(proxy, "/v1/realtime"))
    answer = caught.value.response
    assert 502 == answer.status_code
    code = json.loads(answer.body or b"")["error"]["code"]
    assert code == answer.headers["x-spiritsafe-error"]


async def test_a_tls_upstream_is_reached_by_wss(tmp_path: Path) -> None:
    async with (
        sockets(tmp_path, tls=True) as (_, proxy),
        connect(address(proxy, "/v1/responses"), max_size=None) as socket,
    ):
        noise = random.Random(2).randbytes(2**20)
        await socket.send(noise)
        assert noise == await socket.recv()


async def test_the_clients_own_realtime_works(tmp_path: Path) -> None:
    """The official client's `realtime.connect`, its events both ways."""

    async def session(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "session.created", "event_id": "e_1"}))
        asked = json.loads(await socket.recv())
        await socket.send(
            json.dumps(
                {
                    "type": "response.output_text.done",
                    "event_id": "e_2",
                    "text": asked["response"]["instructions"],
                }
            )
        )

    async with (
        sockets(tmp_path, session) as (upstream, proxy),
        AsyncOpenAI(base_url=proxy.base_url, api_key="sk-2") as client,
        client.realtime.connect(model="gpt/realtime") as connection,
    ):
        created = await connection.recv()
        await connection.response.create(response={"instructions": "say hi"})
        done = await connection.recv()
    assert "session.created" == created.type
    assert "response.output_text.done" == done.type
    assert "say hi" == done.text
    (asked,) = upstream.asked
    assert "Bearer sk-2" == asked.headers["authorization"]
    assert "/v1/realtime?model=gpt%2Frealtime" == asked.path


async def test_responses_over_a_websocket_work(tmp_path: Path) -> None:
    """The official client's `responses.connect`; such a session is not recorded."""
    completed = {
        "type": "response.completed",
        "sequence_number": 1,
        "response": {"id": "resp_1", "object": "response", "output": []},
    }

    async def session(socket: ServerConnection) -> None:
        asked = json.loads(await socket.recv())
        assert "response.create" == asked["type"]
        await socket.send(json.dumps(completed))

    async with (
        sockets(tmp_path, session) as (upstream, proxy),
        AsyncOpenAI(base_url=proxy.base_url, api_key="sk-2") as client,
        client.responses.connect() as connection,
    ):
        await connection.response.create(model="m", input="hi")
        done = await connection.recv()
        with open_library(proxy.db) as library:
            assert [] == list(library.rows())
    assert "response.completed" == done.type
    assert "/v1/responses" == upstream.asked[0].path
