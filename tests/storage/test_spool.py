"""The spool: what it says is synced can be read back, and damage costs only itself."""

import resource
from pathlib import Path

import msgspec
import pytest

from storage.records import Exchange
from storage.spool import Frame, Spool, framed
from tests.storage.make import exchange


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "a.spool", max_bytes=100_000)
    made.open()
    return made


def frames(count: int) -> list[Frame]:
    return [Frame(1, 2, number, exchange()) for number in range(count)]


def test_what_goes_in_comes_out(spool: Spool) -> None:
    told = frames(3)
    assert [True] * 3 == spool.append(told)
    assert told == spool.read().frames
    assert 0o600 == spool.path.stat().st_mode & 0o777


def test_f23_at_every_cut_the_whole_frames_before_it_come_out(spool: Spool) -> None:
    told = frames(2)
    spool.append(told)
    whole, first = spool.path.read_bytes(), len(framed(told[0]))
    for size in range(len(whole) + 1):
        spool.path.write_bytes(whole[:size])
        spool.size_bytes = size
        found = spool.read()
        assert told[: (size >= first) + (size == len(whole))] == found.frames
        assert found.torn == (size not in {0, first, len(whole)})


def test_f15_a_flipped_bit_costs_its_own_frame_alone(spool: Spool) -> None:
    told = frames(3)
    spool.append(told)
    whole, first = spool.path.read_bytes(), len(framed(told[0]))
    second = len(framed(told[1]))
    for at in range(first + 40, first + second, 7):  # behind its head
        flipped = bytearray(whole)
        flipped[at] ^= 1
        spool.path.write_bytes(flipped)
        found = spool.read()
        assert ([told[0], told[2]], 1) == (found.frames, found.damaged)
    for at in range(first, first + 40):  # of its head: nothing behind is trusted
        flipped = bytearray(whole)
        flipped[at] ^= 1
        spool.path.write_bytes(flipped)
        found = spool.read()
        assert (told[:1], True, first) == (found.frames, found.torn, found.next_at)


def test_a_full_spool_takes_all_of_a_batch_or_none(tmp_path: Path) -> None:
    told = frames(3)
    size = sum(len(framed(frame)) for frame in told[:2])
    spool = Spool(tmp_path / "a.spool", max_bytes=size)
    spool.open()
    assert [False] * 3 == spool.append(told)
    assert [True] * 2 == spool.append(told[:2])
    assert not spool.usable
    spool.clear()
    assert spool.usable


def test_what_cannot_be_written_fails_alone(spool: Spool) -> None:
    good, poisoned = frames(2)
    bad: Exchange = msgspec.structs.replace(poisoned.exchange, model_asked="\ud800")
    poisoned = msgspec.structs.replace(poisoned, exchange=bad)
    assert [True, False] == spool.append([good, poisoned])
    assert [good] == spool.read().frames


def test_f14_a_write_that_breaks_off_leaves_what_was_synced(spool: Spool) -> None:
    """EFBIG in the middle of a frame, as at `ulimit -f`."""
    told = frames(2)
    spool.append(told[:1])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (spool.size_bytes + 100, hard))
    try:
        assert [False] == spool.append(told[1:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.path.stat().st_size == spool.size_bytes
    assert [True] == spool.append(told[1:])
    assert told == spool.read().frames


def test_f10_after_a_sync_that_failed_nothing_is_taken_until_it_is_emptied(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = frames(2)
    spool.append(told[:1])

    def fail(_: int) -> None:
        raise OSError(5, "EIO")

    with monkeypatch.context() as broken:
        broken.setattr("storage.spool._flush", fail)
        assert [False] == spool.append(told[1:])
    assert not spool.usable
    assert [False] == spool.append(told[1:])
    assert told[:1] == spool.read().frames
    spool.clear()
    assert [True] == spool.append(told[1:])


def test_an_empty_spool_leaves_no_file(spool: Spool) -> None:
    spool.close()
    assert not spool.path.exists()
    spool.open()
    spool.append(frames(1))
    spool.close()
    assert spool.path.stat().st_size > 0
