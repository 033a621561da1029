"""Retention: what is too old or too much goes, in order, and what is held stays."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from storage.engines.sqlite import checkpoint
from storage.errors import StorageFailed
from storage.recorder import Recorder
from storage.records import Progress
from storage.retention import DAY_US, Policy, Retention
from storage.upkeep import Upkeep
from tests.storage.make import NOW_AT, chat, clock, exchange
from tests.storage.test_recorder import keep, rows
from tests.storage.test_upkeep import SMALL, broken_log, held, sound

pytestmark = pytest.mark.anyio


async def test_content_and_rows_have_clocks_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    ages = [40, 9, 40, 3, 0, 9]
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        for number, age in enumerate(ages, 1):
            made = exchange(
                chat(("user", f"words-{number}-")), created_at=NOW_AT - age * DAY_US
            )
            await keep(recorder, made)
        await recorder.change(lambda c: c.execute("INSERT INTO held VALUES (3)"))
        begun = exchange(state="open", created_at=0, answer=b"", answer_size=0)
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"some", at_byte=0))
        await keep(recorder, exchange())
        upkeep = Upkeep(recorder, path)
        policy = Policy(bodies_days=7, rows_days=30)
        report = await upkeep.prune(policy, now_at=NOW_AT)
        assert (report.stripped, report.removed, report.clean) == (2, 1, True)
        assert rows(path, "SELECT seq, content_kept FROM exchanges") == [
            (2, 0), (3, 1), (4, 1), (5, 1), (6, 0), (7, 1), (8, 1),
        ]  # fmt: skip
        report = await upkeep.prune(policy, now_at=NOW_AT + 5 * DAY_US)
        assert (report.stripped, report.removed) == (1, 0)
        assert b"words-2-" not in held(tmp_path)
        assert b"words-3-" in held(tmp_path)
    assert sound(path)


async def test_the_size_is_kept_by_failed_untagged_and_oldest(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    kinds: list[dict[str, Any]] = [
        {"tags": {"a": "b"}}, {"tags": {}}, {"tags": {"a": "b"}, "status": 500},
        {"tags": {}, "state": "incomplete", "reason": "timeout"},
    ]  # fmt: skip
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        upkeep = Upkeep(recorder, path)
        for number in range(20):
            text = random.Random(number).randbytes(20_000).hex()
            await keep(recorder, exchange(text=text, **kinds[number % 4]))
        full = await upkeep.used_bytes()
        order = [3, 4, 7, 8, 11, 12, 15, 16, 19, 20, 2, 6, 10, 14, 18, 1, 5, 9, 13, 17]
        monotone: list[int] = []
        retention = Retention(Policy(most_bytes=full))
        for share in (0.9, 0.6, 0.4):
            retention.policy = Policy(most_bytes=int(full * share))
            await upkeep.sweep(retention, now_at=NOW_AT)
            left = {seq for (seq,) in rows(path, "SELECT seq FROM exchanges")}
            assert left == set(order[20 - len(left) :])
            assert await upkeep.used_bytes() <= full * share
            monotone.append(len(left))
        assert monotone == sorted(set(monotone), reverse=True)
        assert left
        assert await upkeep.finish()
        assert path.stat().st_size <= full * 0.4
    assert sound(path)


async def test_without_a_policy_nothing_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        await keep(recorder, exchange(created_at=0))
        retention = Retention(Policy())
        done = await recorder.change(partial(retention.slice, now_at=NOW_AT))
        assert (done.stripped, done.removed, done.more) == (0, 0, False)


async def test_what_a_failed_disk_kept_goes_with_the_next_sweep(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        await keep(recorder, *(exchange(created_at=0) for _ in range(30)))
        await recorder.apply(partial(checkpoint, mode="TRUNCATE"))
        await keep(recorder, exchange())
        upkeep, retention = Upkeep(recorder, path), Retention(Policy(rows_days=1))
        with broken_log(path), pytest.raises(StorageFailed):
            await upkeep.sweep(retention, now_at=NOW_AT)
        done = await upkeep.sweep(retention, now_at=NOW_AT)
        assert done.removed == 30
    assert sound(path)


async def test_what_was_open_goes_once_it_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        begun = exchange(state="open", created_at=0, answer=b"", answer_size=0)
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"some", at_byte=0))
        await keep(recorder, exchange(created_at=0))
        upkeep, retention = Upkeep(recorder, path), Retention(Policy(rows_days=1))
        done = await upkeep.sweep(retention, now_at=NOW_AT)
        assert done.removed == 1
        assert await recorder.keep(exchange(id=begun.id, created_at=0))
        done = await upkeep.sweep(retention, now_at=NOW_AT)
        assert done.removed == 1
    assert sound(path)
