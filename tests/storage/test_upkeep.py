"""What was removed: no byte of it is left in the files, and its room is given back."""

import asyncio
import random
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from storage import changes
from storage.engines.scrub import unused
from storage.engines.sqlite import give_back, open_reader
from storage.errors import StorageFailed
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Exchange, Progress
from storage.retention import DAY_US, Policy, Retention
from storage.safekeeping import Limits
from storage.upkeep import Upkeep, keep_up
from storage.verify import Finding, verify
from tests.storage.make import NOW_AT, chat, clock, exchange
from tests.storage.test_recorder import keep

pytestmark = pytest.mark.anyio

SMALL = Limits(reserve_bytes=0)
PADS = (0, 0, 5, 20, 40, 60, 200)


def sound(path: Path) -> bool:
    with open_library(path) as library:
        return not any(isinstance(one, Finding) for one in verify(library))


def told(mark: str, pad: str) -> Exchange:
    """Return an exchange that says its mark wherever one may say something."""
    return exchange(
        chat(("system", "shared"), ("user", f"{mark} asked{pad}")),
        text=f"{mark} said{pad}",
        prompt_preview=f"{mark} prompt{pad}"[:300],
        answer_preview=f"{mark} answer{pad}"[:300],
        tags={"tag": f"{mark} tag"},
        error=f'"{mark} error"'.encode(),
    )


def held(folder: Path) -> bytes:
    """Return all bytes of all files."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM exchanges").fetchone()[0])


@contextmanager
def broken_log(path: Path) -> Iterator[None]:
    """Have every write that would make the log longer fail, as on a bad disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    longest = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_after_a_change_that_failed_the_log_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be in memory only: nothing is acknowledged behind it before it is copied.

    Closing would copy it, but for the reader.
    """
    monkeypatch.setattr("storage.recorder._IDLE_S", 3600)
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        await keep(recorder, told("mark-1", ""))
        reader = open_reader(path)
        reader.execute("SELECT count(*) FROM exchanges").fetchall()
        change = partial(changes.set_tags, seq=1, add={"a": "b"})
        with broken_log(path), pytest.raises(StorageFailed):
            await recorder.change(change)
        assert b"mark-1 said" not in path.read_bytes()
        await keep(recorder, told("mark-2", ""))
        assert b"mark-1 said" in path.read_bytes()
        reader.close()
    assert sound(path)


@pytest.mark.parametrize("seed", [0, 3, 7])
async def test_no_byte_of_what_was_removed_is_left(tmp_path: Path, seed: int) -> None:
    """Not even where rows were moved within the file: `secure_delete` misses those."""
    path, rng = tmp_path / "a.db", random.Random(seed)
    marks = [f"mark-{seed}-{number:04d}x" for number in range(150)]
    made = [told(mark, " pad" * rng.choice(PADS)) for mark in marks]
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        upkeep = Upkeep(recorder, path)
        for start in range(0, len(made), 16):
            await keep(recorder, *made[start : start + 16])
        order = list(range(len(made)))
        if seed % 2:
            rng.shuffle(order)
        assert all(mark.encode() in held(tmp_path) for mark in marks)
        while order:
            some = [order.pop() for _ in range(min(len(order), rng.choice([1, 3, 9])))]
            change = changes.strip if seed == 3 else changes.remove
            await recorder.change(partial(change, seqs=[at + 1 for at in some]))
            assert await upkeep.finish()
            data = held(tmp_path)
            for at, mark in enumerate(marks):
                left = sum(
                    f"{mark} {word}".encode() in data
                    for word in ("asked", "said", "prompt", "answer", "error")
                )
                assert bool(left) == (at in order), (mark, left)
        assert sound(path)


async def test_the_room_of_what_was_removed_is_given_back(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.db", random.Random(7)
    texts = [rng.randbytes(30_000).hex() for _ in range(40)]
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        upkeep = Upkeep(recorder, path)
        assert await upkeep.finish()
        empty = path.stat().st_size
        await keep(recorder, *(exchange(chat(("user", text))) for text in texts))
        await upkeep.finish()
        full = path.stat().st_size
        await recorder.change(partial(changes.remove, seqs=range(1, 40)))
        unused = await recorder.apply(partial(give_back, pages=1))
        assert await recorder.apply(partial(give_back, pages=100)) == unused - 100
        assert await upkeep.finish()
        assert empty < path.stat().st_size < full / 8
        await recorder.change(partial(changes.remove, seqs=[40]))
        assert await upkeep.finish()
        assert path.stat().st_size <= empty + 4 * 4096
    assert sound(path)


async def test_who_reads_all_the_time_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.upkeep._PATIENCE_S", 0.04)
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        await keep(recorder, exchange())
        reader = open_reader(path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM exchanges").fetchall()
        await recorder.change(partial(changes.remove, seqs=[1]))
        assert not await Upkeep(recorder, path).finish()
        reader.close()
        assert await Upkeep(recorder, path).finish()


async def test_recording_waits_for_no_reader_that_holds_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However patient its connection is; and the patience ends by the clock."""
    monkeypatch.setattr("storage.upkeep._PATIENCE_S", 0.04)
    path, patience_ms = tmp_path / "a.db", 3_600_000
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        await keep(recorder, exchange())
        await recorder.apply(lambda c: c.execute(f"PRAGMA busy_timeout={patience_ms}"))
        reader = open_reader(path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM exchanges").fetchall()
        await recorder.change(partial(changes.remove, seqs=[1]))
        async with asyncio.timeout(30):
            with closing(reader):
                assert not await Upkeep(recorder, path).finish()
        told = await recorder.apply(
            lambda c: c.execute("PRAGMA busy_timeout").fetchone()
        )
        assert told == (patience_ms,)
        assert await Upkeep(recorder, path).finish()


def test_only_a_page_of_a_tree_has_unused_bytes() -> None:
    leaf = b"\x0d" + (0).to_bytes(2) + (2).to_bytes(2) + (90).to_bytes(2) + b"\0"
    page = leaf.ljust(100, b"x")
    assert list(unused(page)) == [(12, 90)]
    freed = bytearray(page)
    freed[1:3] = (92).to_bytes(2)
    freed[92:96] = (0).to_bytes(2) + (8).to_bytes(2)
    assert list(unused(bytes(freed))) == [(12, 90), (96, 100)]
    for broken in (b"\x0c" + page[1:], page[:3] + b"\xff\xff" + page[5:]):
        assert list(unused(broken)) == []
    freed[94:96] = (9).to_bytes(2)  # longer than the page
    assert list(unused(bytes(freed))) == [(12, 90)]
    freed[92:96] = (92).to_bytes(2) + (4).to_bytes(2)  # its own successor
    assert list(unused(bytes(freed))) == [(12, 90), (96, 96)]


async def test_in_the_background_it_retains_and_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        upkeep = Upkeep(recorder, path, pause_ratio=1)
        retention = Retention(Policy(bodies_days=1))
        keeping = keep_up(upkeep, retention, clock=clock, pause_s=0.01)
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(keeping)
            await keep(recorder, told("mark-1", ""), told("mark-2", ""))
            await recorder.change(partial(changes.remove, seqs=[1]))
            while b"mark-1" in held(tmp_path):  # noqa: ASYNC110  a file tells nobody
                await asyncio.sleep(0.01)
            assert b"mark-2 said" in held(tmp_path)
            await keep(recorder, exchange(created_at=NOW_AT - 2 * DAY_US, text="old-3"))
            while b"old-3" in held(tmp_path):  # noqa: ASYNC110  a file tells nobody
                await asyncio.sleep(0.01)
            keeper.cancel()
    assert sound(path)


async def test_retention_goes_on_while_the_file_cannot_be_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.upkeep._PATIENCE_S", 3600.0)
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        upkeep, retention = Upkeep(recorder, path), Retention(Policy(rows_days=1))
        keeping = keep_up(upkeep, retention, clock=clock, pause_s=0.01)
        await keep(recorder, exchange(), exchange())
        with closing(open_reader(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM exchanges").fetchall()
            await recorder.change(partial(changes.remove, seqs=[1]))
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(keeping)
                for _ in range(3):
                    await keep(recorder, exchange(created_at=NOW_AT - 2 * DAY_US))
                    while 1 < await recorder.apply(count):  # noqa: ASYNC110  a file tells nobody
                        await asyncio.sleep(0.01)
                keeper.cancel()


async def test_a_file_that_is_replaced_does_not_end_the_upkeep(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so once, and goes on with the file that recording begins."""
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    async with Recorder.open(other, clock=lambda: NOW_AT - 1, limits=SMALL):
        pass
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        upkeep = Upkeep(recorder, path)
        keeping = keep_up(upkeep, Retention(Policy()), clock=clock, pause_s=0.01)
        await keep(recorder, told("mark-1", ""))
        assert await upkeep.finish()
        other.replace(path)
        recorder._commits._looked_ns = 0  # a second later
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(keeping)
            while not caplog.records:  # noqa: ASYNC110  a log tells nobody
                await asyncio.sleep(0.01)
            await keep(recorder, told("mark-2", ""))
            await recorder.change(partial(changes.remove, seqs=[1]))
            while b"mark-2" in held(tmp_path):  # noqa: ASYNC110  nor does a file
                await asyncio.sleep(0.01)
            assert not keeper.done()
            keeper.cancel()
    assert sound(path)


async def test_what_the_recorder_forgot_is_cleaned_up_after(tmp_path: Path) -> None:
    """Content noted of an open exchange that is kept without; a restart knows too."""
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        begun = exchange(chat(("user", "mark-1")), state="open", answer=b"")
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"mark-1", at_byte=0))
        await keep(recorder, exchange())
        assert b"mark-1" in held(tmp_path)
        assert await recorder.keep(exchange(id=begun.id, content_kept=False))
        upkeep = Upkeep(recorder, path)
        keeping = keep_up(upkeep, Retention(Policy()), clock=clock, pause_s=0.01)
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(keeping)
            while b"mark-1" in held(tmp_path):  # noqa: ASYNC110  a file tells nobody
                await asyncio.sleep(0.01)
            keeper.cancel()
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        assert await Upkeep(recorder, path).dropped() == 1
    assert sound(path)
