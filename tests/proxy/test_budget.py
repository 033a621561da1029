"""Memory for bodies: taken in turn, waited for, given back whatever happens."""

import asyncio
from pathlib import Path

import pytest

from proxy.budget import STEP_BYTES, Budget, Share
from proxy.errors import BusyError, TooLargeError
from proxy.memory import LEAST_BYTES, MIB, answers_bytes, bodies_bytes, limit_bytes

pytestmark = pytest.mark.anyio


async def test_d6_no_more_is_held_than_there_is() -> None:
    budget = Budget(10, wait_s=0.01)
    with Share(budget) as one, Share(budget) as other:
        await one.reach(6)
        assert 10 >= budget.held_bytes >= 6
        with pytest.raises(BusyError, match="max_bodies_bytes"):
            await other.reach(6)
    assert 0 == budget.held_bytes


async def test_d6_who_waits_is_served_in_turn() -> None:
    budget = Budget(10, wait_s=10)
    served: list[int] = []

    async def ask(number: int, size: int) -> None:
        await budget.take(size)
        served.append(number)

    await budget.take(10)
    async with asyncio.TaskGroup() as tasks:
        for number, size in enumerate((8, 1, 2)):
            tasks.create_task(ask(number, size))
        await asyncio.sleep(0)
        assert not budget.take_now(0)  # nobody overtakes those who wait
        budget.give(10)
        await asyncio.sleep(0)
        assert [0, 1] == served
        budget.give(8)
    assert [0, 1, 2] == served
    assert 3 == budget.held_bytes


async def test_d6_who_stops_waiting_holds_nothing() -> None:
    """Cancelled before its turn, and in the moment in which it is its turn."""
    budget = Budget(10, wait_s=10)
    await budget.take(10)
    waits = [asyncio.ensure_future(budget.take(5)) for _ in range(3)]  # noqa: TID251  to be cancelled one by one
    await asyncio.sleep(0)
    waits[0].cancel()
    await asyncio.sleep(0)
    budget.give(10)  # the other two are granted
    waits[1].cancel()
    await asyncio.wait(waits)
    assert [True, True, False] == [wait.cancelled() for wait in waits]
    assert 5 == budget.held_bytes


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
    budget = Budget(10, wait_s=10)
    with Share(budget) as share, pytest.raises(TooLargeError, match="10 bytes"):
        await share.reach(11)
    assert 0 == budget.held_bytes


async def test_d6_a_body_of_unknown_length_takes_steps() -> None:
    budget = Budget(4 * STEP_BYTES, wait_s=10)
    with Share(budget) as share:
        for size in range(0, 2 * STEP_BYTES, 1000):
            await share.reach(size)
        assert 2 * STEP_BYTES == budget.held_bytes
    assert 0 == budget.held_bytes


def test_s51_the_limit_of_the_container_counts(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    machine = limit_bytes([limit])
    limit.write_text("max\n")
    assert machine == limit_bytes([limit])
    limit.write_text(f"{256 * MIB}\n")
    assert 256 * MIB == limit_bytes([limit])
    assert 32 * MIB == bodies_bytes(256 * MIB)
    assert 16 * MIB == answers_bytes(256 * MIB)
    assert LEAST_BYTES == bodies_bytes(MIB)
