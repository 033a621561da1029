"""An upstream that speaks HTTP/2, over httpx's own transport, and breaks off (H-78)."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes

from tests.scripted_upstream import CHAT, DONE, STREAMED, completion, delta
from tests.wire.scene import CHAT_PATH, Scene, dechunked, scene, to_the_end

pytestmark = pytest.mark.anyio

HEAD = [(":status", "200"), ("content-type", "application/json")]
EVENTS = [(":status", "200"), ("content-type", "text/event-stream")]


class Second:
    """One HTTP/2 connection, from the server's side."""

    def __init__(self, writer: asyncio.StreamWriter, play: "Play") -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False))
        self.writer = writer
        self.play = play
        self.bodies: dict[int, bytes] = {}
        self.left = False

    async def run(self, reader: asyncio.StreamReader, settings: dict[int, int]) -> None:
        """Serve until the other side leaves."""
        self.h2.initiate_connection()
        self.h2.update_settings(settings)
        self.flush()
        async with asyncio.TaskGroup() as tasks:
            while (data := await reader.read(65536)) and not self.left:
                for event in self.h2.receive_data(data):
                    if isinstance(event, RequestReceived):
                        self.bodies[event.stream_id] = b""
                    elif isinstance(event, DataReceived):
                        self.bodies[event.stream_id] += event.data
                        size = event.flow_controlled_length
                        self.h2.acknowledge_received_data(size, event.stream_id)
                    elif isinstance(event, StreamEnded):
                        tasks.create_task(self.play(self, event.stream_id))
                self.flush()

    def flush(self) -> None:
        """Send what there is to send."""
        self.writer.write(self.h2.data_to_send())

    def say(self, stream: int, head: list[tuple[str, str]], body: bytes) -> None:
        """Send a head and some of a body."""
        self.h2.send_headers(stream, head)
        self.h2.send_data(stream, body)
        self.flush()

    def end(self, stream: int) -> None:
        """End a stream well."""
        self.h2.end_stream(stream)
        self.flush()

    def leave(self, stream: int) -> None:
        """Say with GOAWAY that this stream was the last."""
        self.left = True
        self.h2.close_connection(last_stream_id=stream)
        self.flush()

    def reset(self, stream: int) -> None:
        """End a stream with RST_STREAM."""
        self.h2.reset_stream(stream, ErrorCodes.CANCEL)
        self.flush()


Play: TypeAlias = Callable[[Second, int], Coroutine[Any, Any, None]]


async def whole(at: Second, stream: int) -> None:
    at.say(stream, HEAD, completion())
    at.end(stream)


@contextlib.asynccontextmanager
async def second(
    folder: Path, play: Play, settings: dict[int, int] | None = None
) -> AsyncIterator[tuple[Scene, list[Second]]]:
    """Run a proxy before such an upstream; yield its connections too."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    made: list[Second] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(Second(writer, play))
        with contextlib.suppress(OSError):
            await made[-1].run(reader, settings or {})
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    limits: dict[str, Any] = {
        "url": f"https://localhost:{port}/v1",
        "ca_file": folder / "ca.pem",
        "transport": "httpx",
        "http2": True,
    }
    async with scene(folder, never, limits=limits) as at:
        yield at, made
    server.close()


async def never(*_: object) -> None:
    raise AssertionError


async def asked(at: Scene, body: bytes = CHAT) -> tuple[int, bytes]:
    """Ask once; return status and what came of the body."""
    async with at.client() as client:
        await client.post(CHAT_PATH, body, "Connection: close")
        status, _ = await client.head()
        return status, (await to_the_end(client))[0]


async def test_h78_a_reset_before_the_head_is_a_502_with_its_code(
    tmp_path: Path,
) -> None:
    async def play(at: Second, stream: int) -> None:
        at.reset(stream)

    async with second(tmp_path, play) as (at, _):
        status, body = await asked(at)
        kept = await at.one()
    error = json.loads(body)["error"]
    assert (502, "server_error") == (status, error["type"])
    assert "error_code:8" in error["message"] or "CANCEL" in error["message"]
    assert "incomplete" == kept.row.state
    assert "upstream_error" == kept.row.reason


async def test_h78_a_reset_in_the_body_is_no_clean_end_and_spares_the_others(
    tmp_path: Path,
) -> None:
    """Two streams of one connection: one is cut, the other comes to its end."""
    cut, started = asyncio.Event(), asyncio.Event()
    first = delta("begins")

    async def play(at: Second, stream: int) -> None:
        at.say(stream, EVENTS, first)
        if b"cut" in at.bodies[stream]:
            await started.wait()
            at.reset(stream)
            cut.set()
            return
        started.set()
        await cut.wait()
        at.h2.send_data(stream, delta("", "stop") + DONE)
        at.end(stream)

    async with second(tmp_path, play) as (at, made):
        broken, good = await asyncio.gather(
            asked(at, STREAMED.replace(b"hi", b"cut")), asked(at, STREAMED)
        )
        kept = {it.request: it.row for it in await at.settled()}
    data, ended = dechunked(broken[1])
    assert data.startswith(first)
    assert not ended
    assert (first + delta("", "stop") + DONE, True) == dechunked(good[1])
    assert 1 == len(made)
    assert {"upstream_truncated", None} == {row.reason for row in kept.values()}


async def test_h78_after_goaway_the_next_goes_over_another_connection(
    tmp_path: Path,
) -> None:
    async def play(at: Second, stream: int) -> None:
        await whole(at, stream)
        at.leave(stream)

    async with second(tmp_path, play) as (at, made):
        for _ in range(3):
            status, body = await asked(at)
            assert (200, completion()) == (status, dechunked(body)[0])
        await at.settled()
    assert 3 == len(made)


async def test_h78_lowered_concurrency_and_small_windows_are_waited_for(
    tmp_path: Path,
) -> None:
    """One stream at a time, and a body of many windows."""
    under_way = most = 0

    async def play(at: Second, stream: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        await whole(at, stream)

    settings: dict[int, int] = {
        SettingCodes.MAX_CONCURRENT_STREAMS: 1,
        SettingCodes.INITIAL_WINDOW_SIZE: 1000,
    }
    large = STREAMED.replace(b"hi", b"x" * 200_000).replace(b'"stream":true,', b"")
    async with second(tmp_path, play, settings) as (at, made):
        await asked(at)  # so the settings are known
        answers = await asyncio.gather(*(asked(at, large) for _ in range(5)))
        await at.settled()
    assert [(200, completion())] * 5 == [
        (status, dechunked(body)[0]) for status, body in answers
    ]
    assert 1 <= most <= len(made)


async def test_h78_trailers_are_dropped(tmp_path: Path) -> None:
    async def play(at: Second, stream: int) -> None:
        at.say(stream, HEAD, completion())
        at.h2.send_headers(stream, [("x-trailer", "evil")], end_stream=True)
        at.flush()

    async with second(tmp_path, play) as (at, _):
        status, body = await asked(at)
        kept = await at.one()
    assert (200, completion()) == (status, dechunked(body)[0])
    assert "complete" == kept.row.state
