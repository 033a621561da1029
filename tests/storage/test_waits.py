"""How long somebody waits for what may never come."""

import asyncio

import pytest

from storage.waits import Waits

pytestmark = pytest.mark.anyio


async def test_each_wait_ends_in_its_own_time() -> None:
    waits, ended = Waits(), list[float]()

    async def wait(most_s: float) -> None:
        assert not await waits.begin(most_s)
        ended.append(most_s)

    never = waits.begin(60)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for most_s in (0.06, 0.02, 0.04, 0.02):
            tasks.create_task(wait(most_s))
    assert [0.02, 0.02, 0.04, 0.06] == ended
    assert not never.done()
    waits.close()


async def test_what_came_in_time_is_left_alone() -> None:
    waits = Waits()
    came, late = waits.begin(0.02), waits.begin(0.03)
    gone = waits.begin(0.01)
    came.set_result(True)
    gone.cancel()
    async with asyncio.timeout(10):
        assert not await late
    assert came.result()
    assert gone.cancelled()


async def test_no_more_is_remembered_than_waits() -> None:
    waits = Waits()
    for _ in range(1000):
        waits.begin(60).set_result(True)
    assert len(waits._due) == 1
    waits.close()


async def test_a_wait_behind_a_long_silence_ends_as_well() -> None:
    waits = Waits()
    async with asyncio.timeout(10):
        assert not await waits.begin(0.01)
        await asyncio.sleep(0.02)
        assert not await waits.begin(0.01)
