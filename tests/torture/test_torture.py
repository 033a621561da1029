"""The short version of `make torture`, and proof that it can fail."""

import asyncio
import shutil
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from tests.crash.oracle import Complaint
from tests.crash.rounds import seed
from tests.torture import faults, registry
from tests.torture.__main__ import main, seconds
from tests.torture.nursery import Nursery
from tests.torture.run import Budget, Torture, played
from tests.torture.stage import Round, Stage

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.alone]

BUGS = {
    "changed answer": "C1",
    "changed request": "C1",
    "lost rows": "C1",
    "all complete": "C2",
    "sent again": "C3",
    "clean end": "C4",
    "counted twice": "C5",
    "key kept": "C7",
    "one project": "C8",
    "hoarder": "C9",
    "wrong hashes": "C10",
    "slow start": "C11",
}
"""Which rule finds which bug in the running program; `early` and C6 are further down."""


async def complaints(
    nursery: Nursery, folder: Path, bug: str, number: int
) -> list[Complaint]:
    """Return what one brief round finds in the program with this bug."""
    place = folder / f"{number}"
    place.mkdir()
    stage = Stage(nursery, place, seed(), bug=bug, rest_s=1.5)
    await played(Round(bug, "", faults.brief), stage)
    shutil.rmtree(place)  # a seeded leak is no leak of this run
    return stage.complaints


async def test_each_seeded_bug_is_found_and_a_sound_program_is_not(
    tmp_path: Path,
) -> None:
    """A broken recorder, relay, edit, counter: each is named by the rule it breaks."""
    found: dict[str, set[str]] = {}
    few = asyncio.Semaphore(3)

    async def look(bug: str, number: int) -> None:
        async with few:
            told = await complaints(nursery, tmp_path, bug, number)
            found[bug] = {rule for rule, _ in told}

    async with Nursery.open() as nursery, asyncio.TaskGroup() as group:
        for number, bug in enumerate(["", *BUGS]):
            group.create_task(look(bug, number))
    assert set() == found.pop("")
    assert BUGS == {
        bug: rule if rule in found[bug] else found[bug] for bug, rule in BUGS.items()
    }


async def test_f64_a_loop_that_is_blocked_now_and_then_loses_nothing(
    tmp_path: Path,
) -> None:
    async with Nursery.open() as nursery:
        assert [] == await complaints(nursery, tmp_path, "blocked", 0)


async def test_f01_f05_f07_f30_f38_f60_f93_a_short_torture_finds_nothing() -> None:
    """Each kind of round once, seeded anew in each run."""
    torture = Torture(registry.ROUNDS, seed=seed(), say=print, loaded_s=1)
    report = await torture.run(Budget(once=True), side_by_side=4)
    assert [] == report.failures
    assert 30 <= report.kills
    assert {one.name for one in registry.ROUNDS} == {*report.tallies, *report.skipped}


async def test_a_round_that_breaks_fails_the_run_and_keeps_its_folder() -> None:
    async def broken(stage: Stage) -> None:
        (stage.folder / "proof").touch()
        raise AssertionError("so it goes")

    said: list[str] = []
    torture = Torture([Round("broken", "", broken)], seed=7, say=said.append)
    report = await torture.run(Budget(once=True, seed=9))
    (failure,) = report.failures
    assert failure.startswith("round 1, broken, seed 9: broken")
    assert "so it goes" in failure
    folder = Path(said[-1].rpartition(" ")[2])
    assert (folder / "proof").exists()
    shutil.rmtree(folder)


async def test_a_round_that_cannot_run_here_is_skipped_loudly() -> None:
    async def never(_: Stage) -> None:
        raise AssertionError

    said: list[str] = []
    rounds = [Round("never", "F-99", never, hinders=lambda: "no moon")]
    report = await Torture(rounds, seed=7, say=said.append).run(Budget(once=True))
    assert ["SKIPPED never (F-99): no moon"] == said
    assert ({"never": "no moon"}, {}) == (report.skipped, report.tallies)


def test_a_budget_is_a_number_and_a_unit() -> None:
    assert [90, 300, 7200] == [seconds(text) for text in ("90s", "5m", "2h")]
    with pytest.raises(ArgumentTypeError):
        seconds("5")


def test_the_rounds_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--list"])
    listed = capsys.readouterr().out
    assert [] == [one.name for one in registry.ROUNDS if one.name not in listed]


def test_a_round_that_is_none_is_a_mistake_in_usage() -> None:
    assert 2 == main(["--only", "no such round"])
