"""Kills at chosen moments: between two statements, between commit and answer."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from storage.assemble import Kept
from storage.reading import open_library
from tests.crash.load import World
from tests.crash.rounds import judged, seed
from tests.crash.running import serving, until
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PROGRAM = (sys.executable, "-m", "tests.crash.seeded")


def complete_rows(db: Path) -> list[Kept]:
    with open_library(db) as library:
        rows = [library.whole(row) for row in library.rows()]
    return [kept for kept in rows if kept.row.state == "complete"]


async def test_f03_killed_between_commit_and_release(tmp_path: Path) -> None:
    """The row is complete, the client saw no end, and its retry is a second row."""
    db = tmp_path / "s.db"

    async def script(request: RawRequest, wire: Wire) -> None:
        if request.json.get("stream"):
            await wire.events(delta("all of it", "stop"), DONE)
        else:
            await wire.answer(completion())

    async with scripted_upstream(script) as upstream:
        async with (
            serving(db, upstream.url, command=(*PROGRAM, "stuck")) as running,
            RawClient.connect(running.port) as plain,
            RawClient.connect(running.port) as streamed,
        ):
            await plain.post("/v1/chat/completions", CHAT)
            await streamed.post("/v1/chat/completions", STREAMED)
            await until(lambda: len(complete_rows(db)) == 2)
            await running.kill()
            assert b"" == await plain.rest()
            assert b"[DONE]" not in await streamed.rest()
        async with (
            serving(db, upstream.url) as running,
            RawClient.connect(running.port) as client,
        ):
            for body in (CHAT, STREAMED):
                await client.post("/v1/chat/completions", body)
                _, headers = await client.head()
                await client.body(headers)
    assert sorted([CHAT, STREAMED] * 2) == sorted(
        kept.request for kept in complete_rows(db)
    )
    assert 4 == len(upstream.requests)


async def test_f02_killed_before_each_statement_of_a_commit(tmp_path: Path) -> None:
    """Acknowledged is recovered, and what was recovered was asked for."""
    db = tmp_path / "s.db"
    world = World(seed())
    last = 20  # the statements of one commit, and the beginning of a second
    async with scripted_upstream(world.play) as upstream:
        for step in range(1, last + 1):
            async with serving(
                db,
                upstream.url,
                command=(*PROGRAM, str(step)),
                variables={"SPIRITSAFE_HOLD_TIMEOUT_S": "100"},
            ) as running:
                if step > 1:
                    assert [] == judged(world, db)
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(world.client(running.port, asyncio.Event()))
                assert -signal.SIGKILL == await running.process.wait()
        async with serving(db, upstream.url):
            assert [] == judged(world, db)
