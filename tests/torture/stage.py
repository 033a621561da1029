"""What a round is given: a folder, a seed, a nursery, and a place for its numbers."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tests import canary
from tests.crash.load import LOST, World
from tests.crash.oracle import SPREAD, Complaint, Footing, judge
from tests.crash.rounds import history
from tests.crash.running import metrics, sums_of
from tests.living import RawClient
from tests.torture.nursery import Child, Nursery

SHORT = {
    "FIRST_BYTE_TIMEOUT_S": "2",
    "IDLE_TIMEOUT_S": "2",
    "CONNECT_TIMEOUT_S": "2",
    "POOL_TIMEOUT_S": "2",
    "IDLE_EXPIRY_S": "0.3",
}
"""The upstream's patience in a round, so that what stalls ends within it."""

LOADED_S = 2.5

REST_S = 20.0
"""How long a program may take to be at rest after its last client has gone."""


@dataclass
class Stage:
    """Where one round plays.

    Shapes: `kills` and `exchanges` are counted up by the round, `complaints` filled.
    `bug` is one that is seeded to be found; `rest_s` as `REST_S`.
    Units: `loaded_s` is how long a round without kills disturbs its program.
    """

    nursery: Nursery
    folder: Path
    seed: int
    bug: str = ""
    rest_s: float = REST_S
    loaded_s: float = LOADED_S
    kills: int = 0
    exchanges: int = 0
    complaints: list[Complaint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    @property
    def db(self) -> Path:
        """The file of this round's program."""
        return self.folder / "s.db"

    @contextlib.asynccontextmanager
    async def serving(
        self, upstream: str, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> AsyncIterator[Child]:
        """Run the program on this stage's file, patient with disks and not upstreams.

        Storage that stalls would let answers go unrecorded, as it may (P4): the hold
        is so long that a busy machine's disk cannot bring that about.
        """
        own = {
            "SPIRITSAFE_HOLD_TIMEOUT_S": "100",
            "SPIRITSAFE_UPSTREAMS__DEFAULT__URL": upstream,
            **{f"SPIRITSAFE_UPSTREAMS__DEFAULT__{k}": v for k, v in SHORT.items()},
        }
        async with self.nursery.serving(
            self.db,
            upstream,
            *("--tag", "env=torture"),
            *arguments,
            variables={**own, **(variables or {})},
            bug=self.bug,
        ) as child:
            yield child

    async def judge(self, world: World, **more: object) -> bool:
        """Judge the file, which nobody writes to now; return whether it is sound."""
        found = await asyncio.to_thread(self._judge, world, more)
        self.complaints += found
        return not found

    def _judge(self, world: World, more: dict[str, object]) -> list[Complaint]:
        leaks = [] if self.complaints else canary.in_tree(self.folder)
        return judge(history(world, self.db, leaks=leaks, **more))


Play: TypeAlias = Callable[[Stage], Awaitable[None]]


def nothing() -> str | None:
    """Return what hinders a round that anybody can run anywhere: nothing."""
    return None


class Round(NamedTuple):
    """One kind of round.

    Shapes: `ids` are those of the fault catalogue; `hinders` returns why this machine
    cannot run it, or None; `weight` says how often it comes up.
    """

    name: str
    ids: str
    play: Play
    weight: int = 1
    hinders: Callable[[], str | None] = nothing


async def answers(port: int) -> None:
    """Ask for the program's health once, and have an answer."""
    async with RawClient.connect(port) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        _, headers = await client.head()
        await client.body(headers)


async def recovery_s(port: int, *, since: float) -> float | None:
    """Return the seconds from `since` to the next answer, None where none comes."""
    try:
        async with asyncio.timeout(30):
            await answers(port)
    except (TimeoutError, *LOST):
        return None
    return time.monotonic() - since


def footing(pid: int) -> Footing:
    """Return what a process holds, from /proc."""
    proc = Path("/proc") / str(pid)
    status = dict(
        line.split(":", 1) for line in (proc / "status").read_text().splitlines()
    )
    return Footing(
        files=sum(1 for _ in (proc / "fd").iterdir()),
        threads=int(status["Threads"]),
        rss_bytes=int(status["VmRSS"].split()[0]) * 1024,
    )


async def at_rest(
    child: Child, *, like: Footing | None = None, within_s: float = REST_S
) -> Footing:
    """Wait until nothing is in flight and no more is open than `like`; return what is.

    What is still open after `within_s` is returned as it is, for the judge to find.
    """
    found = footing(child.pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while True:
                busy = sums_of(await metrics(child.port)).in_flight
                found = footing(child.pid)
                if not busy and (
                    like is None or found.files <= like.files + SPREAD.files
                ):
                    break
                await asyncio.sleep(0.1)
    return found
