"""Rounds of `kill -9` at random moments under mixed load (F-01)."""

import asyncio
import functools
import signal
import time

from tests.crash.load import World
from tests.scripted_upstream import scripted_upstream
from tests.torture.nursery import Child
from tests.torture.stage import Stage, recovery_s

KILLS = 10
"""Kills on one file: judging reads all of it, so a longer life would cost more."""

LANES = 12
LONG = 0.1
"""The part of all lives long enough for exchanges to be saved before they end."""


async def kills(stage: Stage) -> None:
    """Load, kill, start again and judge, `KILLS` times on one file."""
    await killed(stage, World(stage.seed))


async def kills_while_stopping(stage: Stage) -> None:
    """The same, told to stop a moment before (F-07)."""
    await killed(stage, World(stage.seed), first=signal.SIGTERM)


async def kills_while_paused(stage: Stage) -> None:
    """The same, stopped for a while in the middle, and going on before the end (F-05)."""
    await killed(stage, World(stage.seed), first=signal.SIGSTOP)


async def killed(
    stage: Stage, world: World, *, first: signal.Signals | None = None
) -> None:
    """Kill a loaded program again and again; `first` is a signal it gets before."""
    recoveries: list[float | None] = []
    async with scripted_upstream(world.play) as upstream:
        for number in range(KILLS + 1):
            started = time.monotonic()
            async with stage.serving(upstream.url) as child:
                recoveries.append(await recovery_s(child.port, since=started))
                if number and not await stage.judge(world, recoveries_s=recoveries):
                    return
                if number == KILLS:
                    return
                seen = len(world.attempts)
                await world.run(
                    child.port, functools.partial(die, stage, child, first), lanes=LANES
                )
                stage.kills += 1
                stage.exchanges += len(world.attempts) - seen


async def die(stage: Stage, child: Child, first: signal.Signals | None) -> None:
    """Kill the program at a random moment."""
    choose = stage.random
    await asyncio.sleep(choose.uniform(0, 2.4 if choose.random() < LONG else 0.35))
    if first is not None:
        child.tell(first)
        await asyncio.sleep(choose.uniform(0, 0.3))
    if first is signal.SIGSTOP:
        child.tell(signal.SIGCONT)
        await asyncio.sleep(choose.uniform(0, 0.1))
    await child.kill()
