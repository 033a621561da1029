"""The kill loop itself can fail: it finds an answer released before its commit."""

import sys
from pathlib import Path

import pytest

from tests.crash.load import World
from tests.crash.rounds import killed_rounds, seed
from tests.scripted_upstream import scripted_upstream

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PROGRAM = (sys.executable, "-m", "tests.crash.seeded")


async def test_an_answer_released_before_its_commit_is_found(tmp_path: Path) -> None:
    world = World(seed())
    async with scripted_upstream(world.play) as upstream:
        complaints = await killed_rounds(
            world,
            tmp_path / "s.db",
            upstream.url,
            rounds=10,  # and ends with the first that finds it
            command=(*PROGRAM, "early"),
        )
    assert "C1" in {complaint.rule for complaint in complaints}


async def test_a_slow_disk_alone_is_no_fault(tmp_path: Path) -> None:
    world = World(seed())
    async with scripted_upstream(world.play) as upstream:
        complaints = await killed_rounds(
            world,
            tmp_path / "s.db",
            upstream.url,
            rounds=2,
            command=(*PROGRAM, "late"),
        )
    assert [] == complaints
