"""Told to stop: what can end ends, the rest is kept as far as it came, exit code 0."""

import asyncio
import contextlib
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storage.assemble import Kept
from storage.reading import open_library
from storage.verify import Finding, verify
from tests.crash.load import World
from tests.crash.rounds import judged, seed
from tests.crash.running import Running, refusal, serving
from tests.living import RawClient
from tests.scripted_upstream import (
    DONE,
    SSE_HEAD,
    RawRequest,
    ScriptedUpstream,
    Wire,
    delta,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio

STOPS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


class Streams:
    """An upstream whose streams say one thing, and end when a test lets them."""

    def __init__(self) -> None:
        self.ends: dict[str, asyncio.Event] = {}

    async def play(self, request: RawRequest, wire: Wire) -> None:
        name = request.json["messages"][0]["content"]
        end = self.ends.setdefault(name, asyncio.Event())
        await wire.send(SSE_HEAD)
        for event in (delta(f"{name} begins "), delta("and ends", "stop"), DONE):
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
            await end.wait()
        await wire.send(b"0\r\n\r\n")


def body(name: str) -> bytes:
    messages = [{"role": "user", "content": name}]
    return json.dumps({"model": "m", "stream": True, "messages": messages}).encode()


@asynccontextmanager
async def streaming(port: int, name: str) -> AsyncIterator[RawClient]:
    """Open a stream and read its first event."""
    async with RawClient.connect(port) as client:
        await client.post("/v1/chat/completions", body(name))
        await client.head()
        await client.reader.readuntil(delta(f"{name} begins "))
        yield client


@asynccontextmanager
async def three_streams(
    db: Path, *, drain_s: str
) -> AsyncIterator[tuple[Running, Streams, list[RawClient]]]:
    """Run the program with three streams open."""
    streams = Streams()
    async with contextlib.AsyncExitStack() as stack:
        upstream: ScriptedUpstream = await stack.enter_async_context(
            scripted_upstream(streams.play)
        )
        running = await stack.enter_async_context(
            serving(db, upstream.url, variables={"SPIRITSAFE_DRAIN_S": drain_s})
        )
        clients = [
            await stack.enter_async_context(streaming(running.port, name))
            for name in ("one", "two", "three")
        ]
        try:
            yield running, streams, clients
        finally:
            for end in streams.ends.values():
                end.set()


def rows(db: Path) -> dict[str, Kept]:
    """Return what is kept, by the name of the stream; nothing may be wrong with it."""
    with open_library(db) as library:
        assert [] == [step for step in verify(library) if isinstance(step, Finding)]
        kept = [library.whole(row) for row in library.rows()]
        told = library.totals()
    assert told.balanced
    assert (len(kept), 0, 0) == (told.accepted, told.in_flight, told.unrecorded)
    return {json.loads(k.request)["messages"][0]["content"]: k for k in kept}


def left_clean(db: Path) -> bool:
    """Return whether the last run was ended in the file, and its log copied back."""
    if db.with_name(db.name + "-wal").exists():
        return False
    connection = sqlite3.connect(db)
    query = "SELECT clean, ended_at FROM epochs ORDER BY id DESC LIMIT 1"
    clean, ended_at = connection.execute(query).fetchone()
    connection.close()
    return bool(clean and ended_at)


async def no_longer_listens(port: int) -> None:
    """Wait until nobody accepts connections."""
    with contextlib.suppress(ConnectionRefusedError):
        while True:
            with contextlib.suppress(ConnectionResetError):  # not accepted in time
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", STOPS)
async def test_f06_what_ends_while_draining_is_whole_and_the_rest_is_kept(
    tmp_path: Path, number: signal.Signals
) -> None:
    db = tmp_path / "s.db"
    async with three_streams(db, drain_s="2") as (running, streams, clients):
        running.tell(number)
        await no_longer_listens(running.port)
        streams.ends["one"].set()
        assert (await clients[0].rest()).endswith(DONE + b"\r\n0\r\n\r\n")
        code, said = await running.ended()
        unfinished = [await client.rest() for client in clients[1:]]
    assert 0 == code, said
    assert left_clean(db)
    kept = rows(db)
    assert ("complete", "stop") == (
        kept["one"].row.state,
        kept["one"].row.finish_reason,
    )
    for name, rest in zip(("two", "three"), unfinished, strict=True):
        assert b"0\r\n\r\n" not in rest
        assert "proxy_shutdown" == kept[name].row.reason
        assert delta(f"{name} begins ") == kept[name].answer


@pytest.mark.parametrize("number", STOPS)
async def test_f06_told_twice_it_waits_for_no_stream(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The second signal goes straight to the final commit (reliability 2.8)."""
    db = tmp_path / "s.db"
    async with three_streams(db, drain_s="600") as (running, _, clients):
        running.tell(number)
        await no_longer_listens(running.port)
        running.tell(number)
        code, said = await running.ended()
        for client in clients:
            assert b"0\r\n\r\n" not in await client.rest()
    assert 0 == code, said
    assert left_clean(db)
    assert {"proxy_shutdown"} == {kept.row.reason for kept in rows(db).values()}
    assert 3 == len(rows(db))


@pytest.mark.parametrize("number", STOPS)
async def test_f06_told_again_and_again_it_still_ends_in_order(
    tmp_path: Path, number: signal.Signals
) -> None:
    """No signal finds a moment in which it breaks the final commit off."""
    db = tmp_path / "s.db"
    async with three_streams(db, drain_s="1") as (running, _, _):
        while running.process.returncode is None:
            running.tell(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.003):
                    await running.process.wait()
        code, said = await running.ended()
    assert 0 == code, said
    assert left_clean(db)
    assert {"proxy_shutdown"} == {kept.row.reason for kept in rows(db).values()}


async def test_f07_told_to_stop_and_killed_two_seconds_later(tmp_path: Path) -> None:
    """As a sidecar whose grace is spent: nothing is lost whose end a client saw."""
    db = tmp_path / "s.db"
    world = World(seed())

    async with scripted_upstream(world.play) as upstream:
        async with serving(db, upstream.url) as running:

            async def end() -> None:
                running.tell(signal.SIGTERM)
                await asyncio.sleep(2)  # the grace that Kubernetes gives
                if running.process.returncode is None:
                    await running.kill()

            await world.run(running.port, end)
        async with serving(db, upstream.url):
            assert [] == judged(world, db)


async def test_a_stop_with_nothing_under_way_leaves_a_clean_file(
    tmp_path: Path,
) -> None:
    db = tmp_path / "s.db"
    async with serving(db, "http://127.0.0.1:9/v1") as running:
        running.tell(signal.SIGTERM)
        code, said = await running.ended()
    assert (0, "") == (code, said)
    assert left_clean(db)


async def test_f20_a_second_instance_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    db = tmp_path / "s.db"
    async with three_streams(db, drain_s="20") as (running, streams, clients):
        code, lines = await refusal("--listen", "127.0.0.1:0", "--db", str(db))
        assert 3 == code
        (line,) = lines
        assert f"{db} is in use by process {running.process.pid}" in line
        assert "name another file" in line
        for end in streams.ends.values():
            end.set()
        for client in clients:
            assert (await client.reader.readuntil(b"\r\n0\r\n\r\n")).endswith(
                DONE + b"\r\n0\r\n\r\n"
            )
        running.tell(signal.SIGTERM)
        code, said = await running.ended()
    assert 0 == code, said
    assert {"complete"} == {kept.row.state for kept in rows(db).values()}


async def test_f01_what_was_open_at_a_kill_keeps_what_was_saved(
    tmp_path: Path,
) -> None:
    """Recovery names it `proxy_crashed`, with the bytes of the last saving."""
    db = tmp_path / "s.db"
    async with three_streams(db, drain_s="20") as (running, _, _):
        await saved(db, 3)
        await running.kill()
    async with serving(db, "http://127.0.0.1:9/v1"):
        kept = rows(db)
    assert {"one", "two", "three"} == set(kept)
    for name, row in kept.items():
        assert ("incomplete", "proxy_crashed") == (row.row.state, row.row.reason)
        assert delta(f"{name} begins ") == row.answer
        assert body(name) == row.request


async def saved(db: Path, count: int) -> None:
    """Wait until so many unfinished exchanges are in the file."""
    while True:
        with open_library(db) as library:
            open_rows = [row for row in library.rows() if row.state == "open"]
        if len(open_rows) == count:
            return
        await asyncio.sleep(0.02)
