"""What the recorder does while the database fails: spool, count, begin anew, go on."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.engines import sqlite
from storage.errors import StorageFailed
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Progress
from storage.safekeeping import Limits
from tests.locking import locked
from tests.storage.make import clock, exchange
from tests.storage.test_recorder import findings, keep, rows

pytestmark = pytest.mark.anyio

UNSPOOLED = Limits(spool_bytes=0)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience with locks, and a disk that is asked often whether it is back."""
    monkeypatch.setattr("storage.commits.LOCK_PATIENCE_NS", 0)
    monkeypatch.setattr("storage.recorder._IDLE_S", 0.01)


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not told():  # noqa: ASYNC110  the recorder has no event for it
            await asyncio.sleep(0.01)


def sums(path: Path) -> tuple[int, int, int, int]:
    with open_library(path) as library:
        told = library.totals()
    assert told.balanced
    return told.accepted, told.complete, told.unrecorded, told.in_flight


async def test_d2_what_the_database_does_not_take_the_spool_does(
    tmp_path: Path,
) -> None:
    """It counts as on disk, is told as spooled, and comes in once that is possible."""
    path = tmp_path / "a.db"
    made = [exchange() for _ in range(3)]
    async with Recorder.open(path, clock=clock) as recorder:
        with locked(path):
            assert await keep(recorder, *made) == [True] * 3
            told = recorder.counters
            assert (told.unrecorded, told.balanced) == ({"spooled": 3}, True)
            assert told.spool_bytes > 0
            assert recorder.failing
            assert recorder.stores
        await until(lambda: not recorder.counters.spool_bytes)
        told = recorder.counters
        assert (told.unrecorded, told.complete, told.balanced) == ({}, 3, True)
        assert await keep(recorder, exchange()) == [True]
    assert sums(path) == (4, 4, 0, 0)
    assert not path.with_name("a.db.spool").exists()
    assert findings(path) == []


async def test_f23_a_spool_is_brought_in_at_the_next_start(tmp_path: Path) -> None:
    """As after `kill -9`: nothing tells the file of the exchanges but the spool."""
    path = tmp_path / "a.db"
    begun, lost = exchange(state="open", answer=b""), exchange(state="open", answer=b"")
    ended = exchange(id=begun.id)
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(lost.id)
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"so", at_byte=0))
        await keep(recorder, exchange())
        with locked(path):
            assert await recorder.keep(ended)
            assert await keep(recorder, exchange(), exchange()) == [True, True]
            left = killed_copy(path, tmp_path)
    async with Recorder.open(left, clock=clock) as recorder:
        assert recorder.report.replayed == 3
        assert (recorder.report.lost, recorder.report.crashed) == (1, 0)
    assert sums(left) == (5, 4, 1, 0)
    assert findings(left) == []
    assert rows(left, "SELECT count(*), max(seq) FROM exchanges") == [(4, 4)]


def killed_copy(path: Path, folder: Path) -> Path:
    """Return a copy of all files as they stand, as a kill would leave them."""
    there = folder / "killed"
    there.mkdir()
    for name in ("a.db", "a.db-wal", "a.db.spool"):
        (there / name).write_bytes(path.with_name(name).read_bytes())
    return there / "a.db"


async def test_f23_a_replay_that_was_killed_is_repeated_without_harm(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
        with locked(path):
            await keep(recorder, exchange(), exchange())
            left = killed_copy(path, tmp_path)
    spooled = left.with_name("a.db.spool").read_bytes()
    for _ in range(2):  # killed after its commit: the spool is still there
        left.with_name("a.db.spool").write_bytes(spooled)
        async with Recorder.open(left, clock=clock):
            pass
        assert sums(left) == (3, 3, 0, 0)
    assert findings(left) == []


async def test_f23_a_torn_spool_gives_what_is_whole_and_is_kept_aside(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
        with locked(path):
            await keep(recorder, exchange())
            await keep(recorder, exchange())
            left = killed_copy(path, tmp_path)
    spool = left.with_name("a.db.spool")
    os.truncate(spool, spool.stat().st_size - 1)
    torn = spool.read_bytes()
    async with Recorder.open(left, clock=clock) as recorder:
        assert (recorder.report.replayed, recorder.report.left) == (1, 1)
        assert await keep(recorder, exchange()) == [True]
    (aside,) = left.parent.glob("*.spool.damaged-*")
    assert aside.read_bytes() == torn
    assert sums(left)[:2] == (3, 3)
    assert findings(left) == []


async def test_f15_a_spool_without_its_database_goes_into_a_new_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        with locked(path):
            await keep(recorder, exchange(), exchange())
            left = killed_copy(path, tmp_path)
    left.unlink()
    left.with_name("a.db-wal").unlink()
    async with Recorder.open(left, clock=clock) as recorder:
        assert recorder.report.replayed == 2
        await keep(recorder, exchange())
    assert sums(left) == (3, 3, 0, 0)
    assert findings(left) == []


async def test_d6_a_full_spool_is_refused_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    limits = Limits(spool_bytes=4000)
    async with Recorder.open(path, clock=clock, limits=limits) as recorder:
        with locked(path):
            results = [(await keep(recorder, exchange()))[0] for _ in range(5)]
            kept = results.count(True)
            assert 0 < kept < 5
            assert recorder.counters.spool_bytes <= 4000
            assert not recorder.stores
            told = recorder.counters
            assert told.unrecorded == {"spooled": kept, "storage_failed": 5 - kept}
            assert told.balanced
            assert recorder.failed
        await until(lambda: recorder.stores and not recorder.counters.spool_bytes)
        assert not recorder.failed
    assert sums(path) == (5, kept, 5 - kept, 0)


async def test_f11_a_database_at_its_limit_spools_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLITE_FULL, as `PRAGMA max_page_count` gives it; the reserve is let go."""
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
    limited = (*sqlite._WRITER_PRAGMAS, "max_page_count = 20")
    async with Recorder.open(path, clock=clock) as recorder:
        with monkeypatch.context() as full:
            full.setattr(sqlite, "_WRITER_PRAGMAS", limited)
            recorder._commits._writer = None  # opened anew, with the limit
            big = [exchange(text=os.urandom(9000).hex()) for _ in range(20)]
            assert await keep(recorder, *big) == [True] * 20
            assert recorder.counters.unrecorded == {"spooled": 20}
            assert recorder.counters.reserve_bytes == 0
        await until(lambda: not recorder.counters.spool_bytes)
        assert (recorder.counters.complete, recorder.counters.balanced) == (20, True)
        await until(lambda: recorder.counters.reserve_bytes > 0)
    assert sums(path) == (21, 21, 0, 0)
    assert findings(path) == []


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scribble(path: Path) -> None:
    """All but the first page."""
    sound = path.read_bytes()
    path.write_bytes(sound[:4096] + b"\xa5" * (len(sound) - 4096))


def flip_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"SQLite?")


@pytest.mark.parametrize("damage", [cut_short, scribble, flip_head])
async def test_f15_a_damaged_file_is_set_aside_and_a_new_one_begun(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, *(exchange() for _ in range(20)))
        left = killed_copy_checkpointed(recorder, path, tmp_path)
    damage(left)
    broken = left.read_bytes()
    async with Recorder.open(left, clock=clock) as recorder:
        assert recorder.report.damaged == 1
        assert await keep(recorder, exchange()) == [True]
    assert any("set aside as" in one.getMessage() for one in caplog.records)
    aside = left.with_name(f"a.db.damaged-{clock()}")
    assert aside.read_bytes() == broken
    assert sums(left) == (1, 1, 0, 0)
    assert findings(left) == []


def killed_copy_checkpointed(recorder: Recorder, path: Path, folder: Path) -> Path:
    """Return an unclean file without a log."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert not recorder.failing
    return killed_copy(path, folder)


async def damaged_below(recorder: Recorder, path: Path, how: str) -> None:
    commits = recorder._commits
    if how == "removed":
        commits._looked_ns = 0  # a second later
        os.unlink(path)  # noqa: PTH108  a lint of ours takes the other for slow
        return
    assert commits._connection is not None
    await commits.tidy(written_bytes=2**40, items=1)  # the log is copied back
    scribble(path)
    commits._writer = None  # whoever opens it anew sees it


@pytest.mark.parametrize("how", ["removed", "damaged"])
async def test_f16_a_file_that_goes_bad_while_running_is_replaced(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Sums hold in both: the new file tells of those that ended after the old one."""
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, *(exchange() for _ in range(20)))
        under_way = exchange()
        recorder.accept(under_way.id)
        await damaged_below(recorder, path, how)
        assert await keep(recorder, exchange()) == [True]
        assert await recorder.keep(under_way)
        told = recorder.counters
        assert (told.complete, told.balanced, told.set_aside) == (22, True, 1)
    assert any(one.levelname == "CRITICAL" for one in caplog.records)
    assert sums(path) == (2, 2, 0, 0)
    assert findings(path) == []


async def test_d8_a_lasting_failure_is_told_counted_and_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=UNSPOOLED) as recorder:
        await keep(recorder, exchange())
        with locked(path), caplog.at_level(logging.ERROR):
            for _ in range(2):
                results = await keep(recorder, exchange())
                assert isinstance(results[0], StorageFailed)
        assert len(caplog.records) == 1
        assert recorder.counters.unrecorded == {"storage_failed": 2}
        assert recorder.counters.balanced
        assert await keep(recorder, exchange()) == [True]
    with open_library(path) as library:
        totals = library.totals()
    assert (totals.accepted, totals.complete, totals.unrecorded) == (4, 2, 2)
    assert findings(path) == []


async def test_failing_is_said_until_the_disk_takes_a_batch_again(
    tmp_path: Path,
) -> None:
    """Also without traffic: who is told to stay away sends nothing to find out with."""
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
        assert not recorder.failing
        with locked(path):
            await keep(recorder, exchange())
            assert recorder.failing
        async with asyncio.timeout(30):
            while recorder.failing:  # noqa: ASYNC110  the recorder has no event for it
                await asyncio.sleep(0.01)
        assert recorder.counters.balanced
    assert findings(path) == []
