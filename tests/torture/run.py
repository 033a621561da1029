"""Plays rounds until the budget is spent, and tells how they went."""

import asyncio
import random
import shutil
import sqlite3
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from storage.errors import StorageError
from tests.crash.oracle import Complaint
from tests.torture.nursery import Nursery
from tests.torture.stage import LOADED_S, Round, Stage

ROUND_S = 180.0
"""A round that takes longer hangs, and that is a fault."""


ENOUGH = 5
"""After so many failed rounds there is enough to look at."""

BROKEN = (
    OSError, EOFError, AssertionError, ValueError, LookupError, ExceptionGroup,
    sqlite3.Error, StorageError,
)  # fmt: skip
"""What a round raises when the program does what no test foresaw."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When to stop: after so long, or after so many kills, what comes first.

    Shapes: with `once` every round is played once, however long that takes; `seed` is
    that of each round, else every round has its own.
    """

    seconds: float = float("inf")
    kills: int | None = None
    once: bool = False
    seed: int | None = None


@dataclass
class Tally:
    """What became of the rounds of one name."""

    played: int = 0
    failed: int = 0
    kills: int = 0
    exchanges: int = 0
    seconds: float = 0.0


@dataclass
class Report:
    """How a run went. Shapes: `tallies` by the name of the round."""

    seed: int
    tallies: dict[str, Tally] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """All kills so far."""
        return sum(tally.kills for tally in self.tallies.values())


class Torture:
    """A run: `side_by_side` rounds at a time, in an order that the seed decides."""

    def __init__(
        self,
        rounds: Sequence[Round],
        *,
        seed: int,
        say: Callable[[str], None],
        loaded_s: float = LOADED_S,
    ) -> None:
        self.report = Report(seed)
        self._loaded_s = loaded_s
        self._say = say
        self._random = random.Random(seed)
        self._rounds = []
        for one in rounds:
            if (why := one.hinders()) is None:
                self._rounds.append(one)
            else:
                self.report.skipped[one.name] = why
                say(f"SKIPPED {one.name} ({one.ids}): {why}")
        self._first = list(self._rounds)
        self._number = 0

    async def run(self, budget: Budget, *, side_by_side: int = 2) -> Report:
        """Play until the budget is spent."""
        deadline = time.monotonic() + budget.seconds
        async with Nursery.open() as nursery, asyncio.TaskGroup() as group:
            for _ in range(min(side_by_side, len(self._rounds))):
                group.create_task(self._lane(nursery, budget, deadline))
        return self.report

    async def _lane(self, nursery: Nursery, budget: Budget, deadline: float) -> None:
        while (one := self._next(budget, deadline)) is not None:
            self._number += 1
            seed = budget.seed
            if seed is None:
                seed = self._random.randrange(1_000_000_000)
            await self._play(nursery, one, self._number, seed)

    def _next(self, budget: Budget, deadline: float) -> Round | None:
        """Return the next round: each once at first, then as the weights have it."""
        if budget.once and not self._first:
            return None
        if sum(tally.failed for tally in self.report.tallies.values()) >= ENOUGH:
            return None
        if budget.kills is not None and self.report.kills >= budget.kills:
            return None
        if time.monotonic() >= deadline:
            return None
        if self._first:
            return self._first.pop(0)
        weights = [one.weight for one in self._rounds]
        return self._random.choices(self._rounds, weights)[0]

    async def _play(self, nursery: Nursery, one: Round, number: int, seed: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix="spiritsafe-torture-"))
        stage = Stage(nursery, folder, seed, loaded_s=self._loaded_s)
        started = time.monotonic()
        await played(one, stage)
        tally = self.report.tallies.setdefault(one.name, Tally())
        tally.played += 1
        tally.kills += stage.kills
        tally.exchanges += stage.exchanges
        tally.seconds += (took_s := time.monotonic() - started)
        verdict = "sound"
        if stage.complaints:
            tally.failed += 1
            verdict = f"{len(stage.complaints)} COMPLAINTS, kept in {folder}"
            self.report.failures += [
                f"round {number}, {one.name}, seed {seed}: {rule} {what}"
                for rule, what in stage.complaints[:10]
            ]
        else:
            shutil.rmtree(folder)
        counted = f"{stage.exchanges} exchanges, {stage.kills} kills"
        self._say(
            f"round {number:3} seed {seed:9} {one.name:22} {took_s:5.1f} s  "
            f"{counted:28} {verdict}"
        )


async def played(one: Round, stage: Stage) -> None:
    """Play one round; what breaks it is a complaint too."""
    try:
        async with asyncio.timeout(ROUND_S):
            await one.play(stage)
    except TimeoutError:
        stage.complaints.append(Complaint("C11", f"hung for {ROUND_S:.0f} s"))
    except BROKEN as exc:
        told = "".join(traceback.format_exception(exc))
        stage.complaints.append(Complaint("broken", told[-3000:]))
