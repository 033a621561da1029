"""Clocks step; what is recorded stays in order and has no negative time (F-70)."""

import itertools
from pathlib import Path

import pytest

from proxy.passage import Clock
from storage.reading import open_library
from tests.living import RawClient, living_proxy
from tests.scripted_upstream import CHAT, completion, scripted_upstream
from tests.wire.scene import CHAT_PATH
from tests.wire.test_holding import plainly

pytestmark = pytest.mark.anyio

NOW_AT = 1_790_000_000_000_000
HOUR_US, YEAR_US = 3_600_000_000, 31_557_600_000_000

STEPS = {
    "frozen": [0],
    "an hour back and forth": [0, -HOUR_US, HOUR_US],
    "ten years back and forth": [0, -10 * YEAR_US, 10 * YEAR_US],
    "always backwards": [-number * HOUR_US for number in range(100)],
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
async def test_f70_a_clock_that_steps_disturbs_neither_order_nor_sums(
    tmp_path: Path, steps: list[int]
) -> None:
    """Order is the sequence and the id; `_at` says what the clock said."""
    told = itertools.cycle(steps)
    clock = Clock(wall_us=lambda: NOW_AT + next(told))
    db = tmp_path / "s.db"
    for _ in range(2):  # recovery and the second run's row meet the clock too
        async with (
            scripted_upstream(plainly) as upstream,
            living_proxy(db, upstream.url, clock=clock) as proxy,
            RawClient.connect(proxy.port) as client,
        ):
            for _ in range(4):
                await client.post(CHAT_PATH, CHAT)
                _, headers = await client.head()
                assert completion() == await client.body(headers)
                assert "yes" == headers["x-spiritsafe-recorded"]
    with open_library(db) as library:
        rows = list(library.rows())
        totals = library.totals()
    assert 8 == len(rows) == totals.complete
    assert totals.balanced
    assert sorted(row.id for row in rows) == [row.id for row in rows]
    for row in rows:
        assert row.ended_at is not None
        assert 0 <= row.ended_at - row.created_at < 60_000_000
    assert all(0 <= row.own_us < 10_000_000 for row in rows)
