"""`kill -9` under load at random moments: nothing is lost whose end a client saw."""

from pathlib import Path

import pytest

from tests.crash.load import World
from tests.crash.rounds import killed_rounds, rounds, seed
from tests.crash.running import Running, metrics, sums_of
from tests.scripted_upstream import scripted_upstream

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]


async def test_f01_killed_at_twenty_random_moments_nothing_seen_is_lost(
    tmp_path: Path,
) -> None:
    """After `kill -9` each answer whose end a client saw is in the file, whole."""
    world = World(seed())
    async with scripted_upstream(world.play) as upstream:
        complaints = await killed_rounds(
            world, tmp_path / "s.db", upstream.url, rounds=rounds(20)
        )
    assert [] == complaints
    assert any(attempt.number > 1 for attempt in world.attempts)  # somebody retried
    assert any(not attempt.ended for attempt in world.attempts)


async def test_f01_killed_at_the_default_settings_nothing_seen_is_lost(
    tmp_path: Path,
) -> None:
    """As people run it: on a sound disk no answer is released before its commit."""
    world = World(seed())
    unrecorded = []

    async def nothing_released(running: Running) -> None:
        unrecorded.append(sums_of(await metrics(running.port)).unrecorded)

    async with scripted_upstream(world.play) as upstream:
        complaints = await killed_rounds(
            world,
            tmp_path / "s.db",
            upstream.url,
            rounds=rounds(5),
            variables={},
            before=nothing_released,
        )
    assert not any(unrecorded)  # else the disk stalled for two seconds
    assert [] == complaints
    assert rounds(5) == len(unrecorded)
