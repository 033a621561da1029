"""`relaxed`: a kill costs what waited for the last commits, and harms nothing else."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.crash.load import LOST, World
from tests.crash.oracle import Attempt
from tests.crash.rounds import judged, seed
from tests.crash.running import Running, metrics, serving
from tests.scripted_upstream import scripted_upstream

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Commits:
    """Which commits were seen to be over, and when, on one clock with the clients.

    The window of `relaxed` is half of 50 ms of gathering and one commit. On a machine
    that stalls milliseconds prove nothing; what is owed is told without them: once a
    client has seen an end, the second commit to end after that holds the exchange,
    for the first may have begun before it.
    """

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self._readings: list[tuple[int, int]] = []  # asked when, commits then over
        self._ends: dict[int, int] = {}

    def now(self) -> int:
        """Return a moment later than all before it."""
        return next(self._ticks)

    async def watch(self, port: int) -> None:
        """Read the number of commits until the proxy is gone."""
        try:
            while True:
                asked = self.now()
                number = int((await metrics(port))["spiritsafe_commits_total"])
                self._readings.append((asked, number))
        except LOST:
            return

    def owed(self, ended: int) -> bool:
        """Return whether what ended at that moment must be in the file."""
        after = [number for asked, number in self._readings if asked > ended]
        return bool(after) and after[-1] >= after[0] + 2


class Timed(World):
    """A world that notes the moment of each end."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.commits = Commits()
        self.moments: list[tuple[Attempt, int]] = []

    def noted(self, attempt: Attempt) -> None:
        """Note an attempt that is over."""
        super().noted(attempt)
        if attempt.ended:
            self.moments.append((attempt, self.commits.now()))


async def test_relaxed_loses_only_what_waited_for_the_last_commits(
    tmp_path: Path,
) -> None:
    db = tmp_path / "s.db"
    world = Timed(seed())
    async with scripted_upstream(world.play) as upstream:
        for _ in range(3):
            commits = world.commits = Commits()
            world.moments.clear()
            async with (
                serving(db, upstream.url, "--durability", "relaxed") as running,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(commits.watch(running.port))

                async def end(killed: Running = running) -> None:
                    await asyncio.sleep(world.random.uniform(0.5, 1.5))
                    await killed.kill()

                await world.run(running.port, end)
            for attempt, ended in world.moments:
                attempt.owed = commits.owed(ended)
            assert sum(attempt.owed for attempt, _ in world.moments) > 10
            async with serving(db, upstream.url):
                assert [] == judged(world, db)
