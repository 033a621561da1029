"""Rounds of load and `kill -9` on one file, each judged after the next start."""

import asyncio
import os
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from storage.reading import Library, open_library
from storage.verify import Finding, verify
from tests.crash.load import World, asked
from tests.crash.oracle import Complaint, History, Kept, Key, Sums, judge
from tests.crash.running import COMMAND, Running, serving

# Storage that stalls would let answers go unrecorded, as it may (P4): this hold is so
# long that a busy machine's disk cannot bring that about.
PATIENT = {"SPIRITSAFE_HOLD_TIMEOUT_S": "100"}


def seed() -> int:
    """Return the seed of this run: CRASH_SEED where set; pytest shows it on failure."""
    number = int(os.environ.get("CRASH_SEED") or secrets.randbelow(1_000_000))
    print(f"CRASH_SEED={number}")  # noqa: T201  pytest shows it with a failure
    return number


def rounds(usual: int) -> int:
    """Return how many rounds to run: CRASH_ROUNDS where set."""
    return int(os.environ.get("CRASH_ROUNDS") or usual)


def judged(world: World, db: Path) -> list[Complaint]:
    """Return what is wrong with a file that nobody writes to now."""
    return judge(history(world, db))


def history(world: World, db: Path, **more: Any) -> History:
    """Return all that is known of a run; `more` is what else a test has looked at."""
    with open_library(db) as library:
        return History(
            attempts=world.attempts,
            hits=world.hits,
            rows=[kept(library, row.id) for row in library.rows()],
            settled=totals(library),
            sums=world.sums,
            findings=[
                f"{step.id} {step.what}"
                for step in verify(library)
                if isinstance(step, Finding)
            ],
            **more,
        )


def kept(library: Library, name: str) -> Kept:
    """Return a row as the judge wants it."""
    whole = library.one(name)
    ask = asked(whole.request)
    return Kept(
        id=name,
        seq=whole.row.seq,
        key=Key(ask.nonce, ask.number),
        state=whole.row.state,
        reason=whole.row.reason,
        request_sha256=whole.request_sha256,
        answer_sha256=whole.answer_sha256,
        answer=whole.answer,
        project=whole.row.project,
    )


def totals(library: Library) -> Sums:
    """Return the file's own sums."""
    told = library.totals()
    return Sums(
        accepted=told.accepted,
        complete=told.complete,
        incomplete=told.incomplete,
        unrecorded=told.unrecorded,
        in_flight=told.in_flight,
    )


async def killed_rounds(
    world: World,
    db: Path,
    upstream: str,
    *arguments: str,
    rounds: int,
    command: tuple[str, ...] = COMMAND,
    variables: Mapping[str, str] = PATIENT,
    before: Callable[[Running], Awaitable[None]] | None = None,
) -> list[Complaint]:
    """Load, kill and restart on one file; return the first complaints, if any.

    Shapes: `before` is called with the program, under load, right before each kill.
    """
    when = random.Random(world.seed)

    async def end(running: Running) -> None:
        await asyncio.sleep(when.uniform(0, 2.4))  # the random moment
        if before is not None:
            await before(running)
        await running.kill()

    for number in range(rounds + 1):
        async with serving(
            db,
            upstream,
            *arguments,
            command=command,
            variables=variables,
        ) as running:
            if number and (complaints := judged(world, db)):
                return complaints
            if number < rounds:
                await world.run(running.port, lambda: end(running))
    return []
