"""The backup: whole and of one moment, whatever is recorded meanwhile."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from storage.backup import back_up
from storage.errors import CannotOpen
from storage.recorder import Recorder
from tests.storage.make import chat, clock, exchange
from tests.storage.test_recorder import keep, rows
from tests.storage.test_upkeep import SMALL, sound

pytestmark = pytest.mark.anyio


def copies(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if "copy" in one.name)


async def test_a_copy_is_of_one_moment_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.backup._PAGES", 5)  # many steps of a small file
    path, target = tmp_path / "a.db", tmp_path / "copy.db"
    path.with_name("a.db.secret").write_text("00\n")
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        loop = asyncio.get_running_loop()
        await keep(recorder, *(exchange(chat(("user", f"{n}"))) for n in range(40)))
        told: list[tuple[int, int]] = []

        def record(done: int, total: int) -> None:
            told.append((done, total))
            keeping = keep(recorder, exchange(chat(("user", f"while {done}"))))
            assert asyncio.run_coroutine_threadsafe(keeping, loop).result() == [True]

        await asyncio.to_thread(back_up, path, target, progress=record)
        assert len(told) > 3
        assert rows(path, "SELECT count(*) FROM exchanges") == [(40 + len(told),)]
    assert copies(tmp_path) == ["copy.db", "copy.db.secret"]
    assert rows(target, "SELECT count(*) FROM exchanges") == [(40,)]
    assert sound(target)
    for name in ("copy.db", "copy.db.secret"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    async with Recorder.open(target, clock=clock, limits=SMALL) as recorder:
        assert await keep(recorder, exchange()) == [True]


async def test_nothing_is_written_over_and_nothing_half_is_left(tmp_path: Path) -> None:
    path, target = tmp_path / "a.db", tmp_path / "copy.db"
    async with Recorder.open(path, clock=clock, limits=SMALL) as recorder:
        await keep(recorder, exchange())
    target.write_text("mine")
    with pytest.raises(FileExistsError, match="name another"):
        back_up(path, target, progress=lambda *_: None)
    assert target.read_text() == "mine"
    target.unlink()
    with path.open("r+b") as file:  # the root of a table, as it never is
        file.seek(3 * 4096)
        file.write(b"\x0d" * 4096)
    with pytest.raises((CannotOpen, sqlite3.DatabaseError)):
        back_up(path, target, progress=lambda *_: None)
    assert copies(tmp_path) == []
