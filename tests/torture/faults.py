"""Rounds without a kill: upstreams and clients that misbehave, and pauses."""

import asyncio
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.chaos import ACTS, SOUND
from tests.crash.load import LOST, USUAL, World
from tests.crash.oracle import Complaint
from tests.crash.running import ROOT
from tests.living import RawClient
from tests.scripted_upstream import CHAT, ScriptedUpstream, scripted_upstream
from tests.torture.nursery import Child
from tests.torture.stage import Stage, at_rest, recovery_s

LANES = 16
ENOUGH = 40
BRIEF = {**USUAL, "whole": 30}
PATH = "/v1/chat/completions"

ROUGH = {**dict.fromkeys(ACTS, 1), **dict.fromkeys(SOUND, 10)}
"""An upstream that does anything there is, and behaves every fourth time."""

Disturb: TypeAlias = Callable[[Stage, Child, ScriptedUpstream], Awaitable[None]]


async def rough_upstream(stage: Stage) -> None:
    """Every fault of `tests/chaos.py` in turn (F-33 to F-42)."""
    await disturbed(stage, World(stage.seed, acts=ROUGH))


async def leaving_clients(stage: Stage) -> None:
    """Two clients of three leave before the end, by FIN and by RST (F-30)."""
    await disturbed(stage, World(stage.seed, leavers=0.66))


async def odd_clients(stage: Stage) -> None:
    """Clients that send garbage, halves and trickles beside the load (F-51, F-52)."""

    async def disturb(_: Stage, child: Child, __: ScriptedUpstream) -> None:
        deadline = time.monotonic() + stage.loaded_s
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                choose = random.Random(f"{stage.seed}/{number}")
                group.create_task(odd_client(child.port, choose, deadline))

    await disturbed(stage, World(stage.seed), disturb)


async def flapping_upstream(stage: Stage) -> None:
    """An upstream that is down and up again, several times a second (F-38)."""

    async def disturb(_: Stage, __: Child, upstream: ScriptedUpstream) -> None:
        deadline = time.monotonic() + stage.loaded_s
        while time.monotonic() < deadline:
            upstream.down = not upstream.down
            await asyncio.sleep(stage.random.uniform(0.05, 0.4))
        upstream.down = False

    await disturbed(stage, World(stage.seed), disturb)


async def pauses(stage: Stage) -> None:
    """A program that is stopped and goes on, again and again (F-05)."""

    async def disturb(_: Stage, child: Child, __: ScriptedUpstream) -> None:
        deadline = time.monotonic() + stage.loaded_s
        while time.monotonic() < deadline:
            await asyncio.sleep(stage.random.uniform(0.05, 0.4))
            child.tell(signal.SIGSTOP)
            await asyncio.sleep(stage.random.uniform(0.05, 0.6))
            child.tell(signal.SIGCONT)

    await disturbed(stage, World(stage.seed), disturb)


async def starved(stage: Stage) -> None:
    """A program that gets a tenth of its time (F-60)."""

    async def disturb(_: Stage, child: Child, __: ScriptedUpstream) -> None:
        deadline = time.monotonic() + stage.loaded_s
        while time.monotonic() < deadline:
            child.tell(signal.SIGSTOP)
            await asyncio.sleep(0.045)
            child.tell(signal.SIGCONT)
            await asyncio.sleep(0.005)

    await disturbed(stage, World(stage.seed), disturb)


NARROW = (
    "ip link set lo mtu 576 up && "
    "tc qdisc add dev lo root tbf rate 4mbit burst 32kb latency 400ms && "
    'exec "$0" -m tests.torture --only "leaving clients" --round-seed "$1"'
)


async def narrow_line(stage: Stage) -> None:
    """A line of 4 Mbit/s and packets of 576 bytes, in a network of its own (F-46)."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "sh", "-c", NARROW, sys.executable, str(stage.seed)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        stage.complaints.append(Complaint("narrow", said.decode()[-3000:]))


def without_networks() -> str | None:
    """Return why no network of our own can be made here, or None."""
    missing = [name for name in ("unshare", "ip", "tc") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found"
    made = ("unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "tbf")
    limits = ("rate", "4mbit", "burst", "32kb", "latency", "400ms")
    done = subprocess.run([*made, *limits], capture_output=True, text=True, check=False)
    return done.stderr.strip() or "not permitted" if done.returncode else None


async def lasting(stage: Stage, _: Child, __: ScriptedUpstream) -> None:
    """Disturb nothing, for as long as a round is loaded."""
    await asyncio.sleep(stage.loaded_s)


async def disturbed(stage: Stage, world: World, disturb: Disturb = lasting) -> None:
    """Load a program while it is disturbed; judge it at rest, and after a kill."""
    async with scripted_upstream(world.play) as upstream:
        async with stage.serving(upstream.url) as child:
            warm, world.acts = world.acts, USUAL  # before the first rest is measured
            await world.run(child.port, lambda: asyncio.sleep(0.3), lanes=LANES)
            before = await at_rest(child)
            world.acts = warm
            await world.run(
                child.port, lambda: disturb(stage, child, upstream), lanes=LANES
            )
            again = await recovery_s(child.port, since=time.monotonic())
            after = await at_rest(child, like=before, within_s=stage.rest_s)
            child.tell(signal.SIGTERM)
            await child.ended()
        async with stage.serving(upstream.url):
            await stage.judge(world, rests=[(before, after)], recoveries_s=[again])
    stage.exchanges += len(world.attempts)


async def brief(stage: Stage) -> None:
    """A start, some dozen exchanges of every kind, a rest, a stop and a judgement."""
    world = World(stage.seed, acts=BRIEF, leavers=0, long=0)
    world.slowest_s = 0.01
    started = time.monotonic()

    async def enough() -> None:
        while sum(attempt.ended for attempt in world.attempts) < ENOUGH:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async with scripted_upstream(world.play) as upstream:
        async with stage.serving(upstream.url) as child:
            up = await recovery_s(child.port, since=started)
            before = await at_rest(child)
            await world.run(child.port, enough, lanes=6)
            after = await at_rest(child, like=before, within_s=stage.rest_s)
            child.tell(signal.SIGTERM)
            await child.ended()
        async with stage.serving(upstream.url):
            await stage.judge(world, rests=[(before, after)], recoveries_s=[up])
    stage.exchanges += len(world.attempts)


async def odd_client(port: int, choose: random.Random, deadline: float) -> None:
    """Be one odd client after the other; none of them sends a whole request."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(CHAT)}\r\n\r\n"
    ).encode()
    half = head + CHAT[: len(CHAT) // 2]
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError, *LOST):
            async with RawClient.connect(port) as client, asyncio.timeout(0.7):
                said = choose.choice((half, head, choose.randbytes(300), head[:30]))
                how = choose.randrange(4)
                if how == 0:
                    await client.trickle(said, pause_s=0.001)
                else:
                    await client.send(said)
                if how == 1:
                    client.half_close()
                    await client.rest()
                elif how == 2:
                    client.reset()
                elif how == 3:
                    await client.rest()
