"""`kill -9` under load at random moments: nothing is lost whose end a client saw."""

from pathlib import Path

import pytest

from tests.crash.load import World
from tests.crash.rounds import killed_rounds, rounds, seed
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
