"""Room on the disk: refused without, low before it is full, a reserve for when it is."""

from pathlib import Path

import pytest

from storage.errors import NoRoom
from storage.recorder import Recorder
from storage.room import Room, free_bytes
from storage.safekeeping import Limits
from tests.storage.make import clock

MIB = 1024 * 1024


class Seconds:
    """A clock that moves a second at each look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1_000_000_000
        return self.now_ns


def room(folder: Path, *, reserve_bytes: int = MIB, busy_bytes: int = MIB) -> Room:
    return Room(
        folder / "a.db",
        reserve_bytes=reserve_bytes,
        busy_bytes=busy_bytes,
        monotonic_ns=Seconds(),
    )


@pytest.mark.anyio
async def test_f11_a_start_without_room_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    much = Limits(spool_bytes=2**60)
    with pytest.raises(NoRoom, match="MiB are needed: make room, or set"):
        async with Recorder.open(tmp_path / "a.db", limits=much, clock=clock):
            pass
    assert not (tmp_path / "a.db.reserve").exists()


def test_the_room_of_a_spool_elsewhere_is_asked_of_its_own_disk(tmp_path: Path) -> None:
    with pytest.raises(NoRoom):
        room(tmp_path).open(tmp_path / "a.spool", max_spool_bytes=2**60)
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    with pytest.raises(NoRoom, match="/dev/shm has"):
        room(tmp_path).open(shm / "a.spool", max_spool_bytes=2**60)


def test_what_a_killed_run_left_counts_as_room(tmp_path: Path) -> None:
    """Else a restart after `kill -9` on a tight disk would be refused."""
    (tmp_path / "a.spool").write_bytes(b"x" * 4096)
    need = free_bytes(tmp_path) + 2048
    with pytest.raises(NoRoom):
        room(tmp_path).open(tmp_path / "b.spool", max_spool_bytes=need)
    room(tmp_path, reserve_bytes=0).open(tmp_path / "a.spool", max_spool_bytes=4096)


def test_the_reserve_has_blocks_and_goes_and_comes(tmp_path: Path) -> None:
    reserve = tmp_path / "a.db.reserve"
    kept = room(tmp_path)
    kept.open(tmp_path / "a.spool", max_spool_bytes=0)
    assert (MIB, True) == (kept.held_bytes, kept.whole)
    assert reserve.stat().st_blocks * 512 >= MIB
    assert 0o600 == reserve.stat().st_mode & 0o777
    assert kept.give()
    assert (0, 0) == (kept.held_bytes, reserve.stat().st_blocks)
    assert not kept.give()
    kept.look()
    assert kept.held_bytes == MIB
    kept.close()
    assert not reserve.exists()


def test_the_watermark_is_told_once_each_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that others fill and clear: told by its free bytes, not by a guess."""
    kept = room(tmp_path, busy_bytes=2**60)
    caplog.set_level("INFO")
    for _ in range(3):
        kept.look()
    assert kept.low
    kept._low_bytes = 0
    for _ in range(3):
        kept.look()
    assert not kept.low
    assert ["low", "enough again"] == [
        word
        for one in caplog.records
        for word in ("low", "enough again")
        if f" is {word}:" in one.getMessage()
    ]


def test_a_reserve_is_not_restored_where_it_would_make_the_disk_low(
    tmp_path: Path,
) -> None:
    kept = room(tmp_path)
    kept.open(tmp_path / "a.spool", max_spool_bytes=0)
    kept.give()
    kept._low_bytes = 2**60
    kept.look()
    assert 0 == kept.held_bytes
    assert not kept.whole
    (tmp_path / "a.db.reserve").unlink()
    assert 0 == kept.held_bytes
