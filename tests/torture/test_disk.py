"""Real faults of the disk under a real program, judged by the oracle; and their proof."""

import shutil
from pathlib import Path

import pytest

from tests.crash.oracle import Complaint
from tests.crash.rounds import seed
from tests.torture import disk
from tests.torture.disk import Fault, at_call
from tests.torture.nursery import Child, Nursery
from tests.torture.stage import Stage

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(300)]

traced = pytest.mark.skipif(
    disk.without_strace() is not None, reason=f"strace: {disk.without_strace()}"
)
mounted = pytest.mark.skipif(
    disk.without_mounts() is not None, reason=f"tmpfs: {disk.without_mounts()}"
)


async def complaints(
    folder: Path, *faults: Fault, bug: str = "", killed: bool | None = None
) -> list[Complaint]:
    """Return what the oracle says of rounds with these faults."""
    found = []
    async with Nursery.open() as nursery:
        for number, fault in enumerate(faults):
            place = folder / f"{number}"
            place.mkdir()
            stage = Stage(nursery, place, seed(), bug=bug)
            await at_call(stage, fault, killed=killed)
            found += stage.complaints
            shutil.rmtree(place)  # a seeded leak is no leak of this run
    return found


@traced
@pytest.mark.parametrize("closed", [False, True], ids=["fail_open", "fail_closed"])
@pytest.mark.parametrize("lasts", [False, True], ids=["once", "lasting"])
async def test_f10_a_sync_that_fails_loses_nothing_whose_end_was_seen(
    tmp_path: Path, *, lasts: bool, closed: bool
) -> None:
    """Of the database alone, so that the spool takes over; and of the spool too."""
    fault = disk.SYNC._replace(nth=2, lasts=lasts, closed=closed)
    everywhere = fault._replace(all_files=True)
    assert [] == await complaints(tmp_path, fault, everywhere)


@traced
@pytest.mark.parametrize("closed", [False, True], ids=["fail_open", "fail_closed"])
async def test_f11_a_write_without_room_loses_nothing_whose_end_was_seen(
    tmp_path: Path, *, closed: bool
) -> None:
    fault = disk.WRITE._replace(nth=3, lasts=True, closed=closed)
    everywhere = fault._replace(all_files=True)
    assert [] == await complaints(tmp_path, fault, everywhere)


@traced
@pytest.mark.parametrize("error", ["EROFS", "EACCES", "EMFILE", "ENOENT", "EDQUOT"])
async def test_f14_a_file_that_can_be_neither_written_nor_opened(
    tmp_path: Path, error: str
) -> None:
    fault = Fault("pwrite64,openat", error, nth=2, lasts=True, closed=True)
    assert [] == await complaints(tmp_path, fault)


@traced
@pytest.mark.parametrize("call", ["pwrite64", "pread64"])
async def test_f12_a_read_or_write_error_loses_nothing_whose_end_was_seen(
    tmp_path: Path, call: str
) -> None:
    assert [] == await complaints(tmp_path, Fault(call, "EIO", nth=2, lasts=True))


@traced
async def test_f23_killed_with_a_spool_nothing_is_lost_or_counted_wrongly(
    tmp_path: Path,
) -> None:
    fault = disk.SYNC._replace(lasts=True)
    async with Nursery.open() as nursery:
        stage = Stage(nursery, tmp_path, seed())

        async def always(stage: Stage, child: Child) -> None:
            stage.kills += 1
            await child.kill()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk, "kill_at_times", always)
            await at_call(stage, fault)
    assert ([], 1) == (stage.complaints, stage.kills)


@traced
@pytest.mark.parametrize("closed", [False, True], ids=["fail_open", "fail_closed"])
async def test_f13_syncs_that_take_longer_than_the_hold_lose_nothing_unseen(
    tmp_path: Path, *, closed: bool
) -> None:
    """Released and counted, or withheld: and all is in the file in the end."""
    slow = disk.SYNC._replace(error="", delay_us=1_500_000, lasts=True, closed=closed)
    assert [] == await complaints(tmp_path, slow, killed=False)


@traced
async def test_f02_killed_at_a_call_of_its_commit_nothing_seen_is_lost(
    tmp_path: Path,
) -> None:
    async with Nursery.open() as nursery:
        for number in range(3):
            place = tmp_path / f"{number}"
            place.mkdir()
            stage = Stage(nursery, place, seed())
            await disk.kill_at_call(stage)
            assert ([], 1) == (stage.complaints, stage.kills)


async def test_f14_a_limit_on_file_sizes_loses_nothing_whose_end_was_seen(
    tmp_path: Path,
) -> None:
    """EFBIG and short writes, for a user without rights."""
    async with Nursery.open() as nursery:
        stage = Stage(nursery, tmp_path, seed())
        await disk.limited_files(stage)
    assert [] == stage.complaints


@mounted
async def test_f11_a_full_disk_loses_nothing_whose_end_was_seen(
    tmp_path: Path,
) -> None:
    """A real one, filled to the last byte; recovery needs no restart."""
    async with Nursery.open() as nursery:
        stage = Stage(nursery, tmp_path, seed())
        await disk.full_disk(stage)
    assert [] == stage.complaints


@traced
@pytest.mark.parametrize(
    ("bug", "all_files"), [("forgetful spool", False), ("closed in name", True)]
)
async def test_a_spool_or_a_policy_that_only_says_so_is_found(
    tmp_path: Path, bug: str, *, all_files: bool
) -> None:
    fault = disk.SYNC._replace(lasts=True, closed=True, all_files=all_files)
    found = await complaints(tmp_path, fault, bug=bug)
    assert "C1" in {complaint.rule for complaint in found}
