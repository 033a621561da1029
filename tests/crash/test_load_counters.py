"""P3 without a crash: three tellers of the same numbers, and they agree."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.meters import Meters
from proxy.metrics import Exposition
from storage.commits import Outcome
from storage.counters import Counters
from storage.reading import open_library
from storage.writer import Item
from tests.crash.load import World
from tests.crash.oracle import Sums
from tests.crash.rounds import judged, seed, totals
from tests.crash.running import metrics, sums_of, until
from tests.living import Living, RawClient, living_proxy
from tests.scripted_upstream import (
    CHAT,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio


def counted(proxy: Living) -> Counters:
    return proxy.app._recorder.counters


def sums(counters: Counters) -> Sums:
    assert counters.balanced
    return Sums(
        accepted=counters.accepted,
        complete=counters.complete,
        incomplete=sum(counters.incomplete.values()),
        unrecorded=sum(counters.unrecorded.values()),
        in_flight=counters.in_flight,
    )


async def nothing_in_flight(proxy: Living) -> None:
    await until(lambda: not counted(proxy).in_flight)


async def test_p3_recorder_metrics_and_file_tell_the_same(tmp_path: Path) -> None:
    """Accepted = complete + incomplete + unrecorded + in flight, and all agree."""
    db = tmp_path / "s.db"
    world = World(seed())

    async def enough() -> None:
        await until(lambda: len(world.attempts) >= 400)

    async with (
        scripted_upstream(world.play) as upstream,
        living_proxy(db, upstream.url, hold_timeout_s=100) as proxy,
    ):
        await world.run(proxy.port, enough)
        await nothing_in_flight(proxy)
        told = sums(counted(proxy))
        assert told == sums_of(await metrics(proxy.port))
        with open_library(db) as library:
            assert told.complete == totals(library).complete
            assert told.incomplete == totals(library).incomplete
    assert told == sums(counted(proxy))  # stopping added nothing
    with open_library(db) as library:
        assert told == totals(library)
    assert [] == judged(world, db)
    assert told.complete
    assert told.incomplete
    assert 0 == told.unrecorded
    assert any(now.in_flight for now in world.sums)  # it was read under load


async def test_p3_a_client_that_leaves_is_counted_once(tmp_path: Path) -> None:
    """Left early, with the upstream not read to its end: incomplete, one row."""
    db = tmp_path / "s.db"
    never = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("one "), end=False)
        await never.wait()

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url, finish_after_client_left_s=0) as proxy,
    ):
        for leave in (RawClient.reset, lambda client: client.writer.close()):
            async with RawClient.connect(proxy.port) as client:
                await client.post("/v1/chat/completions", STREAMED)
                await client.reader.readuntil(delta("one "))
                leave(client)
        await until(lambda: counted(proxy).accepted == 2)
        await nothing_in_flight(proxy)
        never.set()
    assert {"client_aborted": 2} == counted(proxy).incomplete
    assert sums(counted(proxy)) == sums_of(samples(proxy))
    with open_library(db) as library:
        assert sums(counted(proxy)) == totals(library)


async def test_p3_stopped_while_its_commit_runs_it_is_counted_once(
    tmp_path: Path,
) -> None:
    """Cut off at a stop although its commit succeeds later: complete, one row."""
    db = tmp_path / "s.db"
    disk = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion())

    async def client_is_cut(client: RawClient) -> None:
        assert b"" == await client.rest()
        disk.set()

    async with asyncio.TaskGroup() as group, scripted_upstream(script) as upstream:
        async with living_proxy(db, upstream.url, hold_timeout_s=100) as proxy:
            commits = proxy.app._recorder._commits
            write = commits.write

            async def stuck(items: Sequence[Item], **tally: int) -> list[Outcome]:
                await disk.wait()
                return await write(items, **tally)

            commits.write = stuck  # type: ignore[method-assign]  # a disk that stalls
            client = RawClient(*await asyncio.open_connection("127.0.0.1", proxy.port))
            await client.post("/v1/chat/completions", CHAT)
            await until(lambda: bool(upstream.requests))
            group.create_task(client_is_cut(client))
        client.writer.close()
    assert sums(counted(proxy)) == Sums(
        accepted=1, complete=1, incomplete=0, unrecorded=0, in_flight=0
    )
    with open_library(db) as library:
        assert sums(counted(proxy)) == totals(library)


def samples(proxy: Living) -> dict[str, float]:
    """Return what /metrics would say now that nobody serves it."""
    text = Exposition(Meters(), proxy.app._recorder).text().decode()
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines)}
