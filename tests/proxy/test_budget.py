"""Memory for bodies: taken in turn, waited for, given back whatever happens."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.budget import FREE_BYTES, STEP_BYTES, Budget, Share
from proxy.errors import BusyError, TooLargeError
from proxy.memory import LEAST_BYTES, MIB, answers_bytes, bodies_bytes, limit_bytes

pytestmark = pytest.mark.anyio


MOST = 16 * STEP_BYTES


async def test_d6_no_more_is_held_than_there_is() -> None:
    budget = Budget(MOST, wait_s=0.01)
    with Share(budget) as one, Share(budget) as other:
        await one.reach(MOST // 2 + 1)
        assert MOST // 2 + 1 == budget.held_bytes
        with pytest.raises(BusyError, match="max_bodies_bytes"):
            await other.reach(MOST // 2)
    assert 0 == budget.held_bytes


async def test_d6_small_bodies_pass_by_large_ones() -> None:
    """An eighth more is for them; and the smallest cost nothing."""
    budget = Budget(MOST, wait_s=0.01)
    with ExitStack() as stack:
        await stack.enter_context(Share(budget)).reach(MOST)
        async with asyncio.TaskGroup() as tasks:
            waits = tasks.create_task(refused(budget))
            await asyncio.sleep(0)
            for _ in range(4):
                small = stack.enter_context(Share(budget))
                await small.reach(STEP_BYTES // 2, whole=True)
            for _ in range(100):
                await stack.enter_context(Share(budget)).reach(FREE_BYTES)
            assert not waits.done()
            await refused(budget)
        assert MOST + MOST // 8 == budget.held_bytes
    assert 0 == budget.held_bytes


async def refused(budget: Budget) -> None:
    """Find no room for a body of some size."""
    with Share(budget) as share, pytest.raises(BusyError):
        await share.reach(MOST // 2)


async def test_d6_who_waits_is_served_in_turn() -> None:
    unit = 2 * STEP_BYTES
    budget = Budget(10 * unit, wait_s=10)
    served: list[int] = []

    async def ask(number: int, units: int) -> None:
        await budget.take(units * unit)
        served.append(number)

    await budget.take(10 * unit)
    async with asyncio.TaskGroup() as tasks:
        for number, units in enumerate((8, 1, 2)):
            tasks.create_task(ask(number, units))
        await asyncio.sleep(0)
        assert not budget.take_now(unit)
        budget.give(10 * unit)
        assert not budget.take_now(unit)  # nobody overtakes those who wait
        await asyncio.sleep(0)
        assert [0, 1] == served
        budget.give(8 * unit)
    assert [0, 1, 2] == served
    assert 3 * unit == budget.held_bytes


async def test_d6_who_stops_waiting_holds_nothing() -> None:
    """Cancelled before its turn, and in the moment in which it is its turn."""
    budget = Budget(MOST, wait_s=10)
    await budget.take(MOST)
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(budget.take(MOST // 2)) for _ in range(3)]
        await asyncio.sleep(0)
        waits[0].cancel()
        await asyncio.sleep(0)
        budget.give(MOST)  # the other two are granted
        waits[1].cancel()
        await asyncio.wait(waits)
    assert [True, True, False] == [wait.cancelled() for wait in waits]
    assert MOST // 2 == budget.held_bytes


async def test_d6_of_bodies_that_wait_for_each_other_the_largest_goes_on() -> None:
    """Where lengths are not known beforehand they would all wait and all be refused."""
    budget = Budget(8 * STEP_BYTES, wait_s=10)
    ends: list[str] = []

    async def grow() -> None:
        with Share(budget) as share:
            try:
                for size in range(0, 6 * STEP_BYTES, STEP_BYTES // 2):
                    await share.reach(size)
                    await asyncio.sleep(0)
            except BusyError:
                ends.append("refused")
            else:
                ends.append("whole")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(grow())
    assert 8 == len(ends)
    assert "whole" in ends
    assert 0 == budget.held_bytes


async def test_d6_a_body_that_never_fits_is_refused_at_once() -> None:
    budget = Budget(MOST, wait_s=10)
    with Share(budget) as share, pytest.raises(TooLargeError, match=f"{MOST} bytes"):
        await share.reach(MOST + 1)
    assert 0 == budget.held_bytes


async def test_d6_a_body_of_unknown_length_takes_steps() -> None:
    budget = Budget(4 * STEP_BYTES, wait_s=10)
    with Share(budget) as share:
        for size in range(0, 2 * STEP_BYTES, 1000):
            await share.reach(size)
        assert 2 * STEP_BYTES <= budget.held_bytes <= 3 * STEP_BYTES
    assert 0 == budget.held_bytes


def test_s51_the_limit_of_the_container_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    machine = limit_bytes([limit])
    limit.write_text("max\n")
    assert machine == limit_bytes([limit])
    limit.write_text(f"{256 * MIB}\n")
    assert 256 * MIB == limit_bytes([limit])
    assert 24 * MIB == bodies_bytes(256 * MIB)
    assert LEAST_BYTES == answers_bytes(256 * MIB)
    assert LEAST_BYTES == bodies_bytes(MIB)
