"""A follower is told each exchange once, when it has ended."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from storage import following
from storage.following import Mark, Place, newest, resumed, step
from storage.reading import Library
from storage.recorder import Recorder
from storage.records import Exchange, Progress
from tests.storage.make import NOW_AT, clock, exchange

pytestmark = pytest.mark.anyio


class Following:
    """A recorder, and a follower of what it records."""

    def __init__(self, recorder: Recorder, library: Library) -> None:
        self.recorder = recorder
        self.library = library
        self.place = newest(library)

    async def keep(self, *exchanges: Exchange) -> list[str]:
        for one in exchanges:
            self.recorder.accept(one.id)
            await self.recorder.keep(one)
        return [one.id for one in exchanges]

    async def begin(self) -> Exchange:
        """Have one noted that goes on; return how it will have ended."""
        one = exchange(ended_at=NOW_AT)
        self.recorder.accept(one.id)
        begun = msgspec.structs.replace(one, state="open", answer=b"", ended_at=None)
        self.recorder.note(Progress(exchange=begun, part=b"", at_byte=0))
        await self.keep(exchange())  # the note comes with it at the latest
        return one

    def told(self) -> list[str]:
        found = step(self.library, self.place)
        self.place = found.place
        return [row.id for row in found.rows]


@asynccontextmanager
async def follow(db: Path) -> AsyncIterator[Following]:
    async with Recorder.open(db, clock=clock) as recorder:
        with closing(Library.open(db)) as library:
            yield Following(recorder, library)


async def test_each_is_told_once(tmp_path: Path) -> None:
    async with follow(tmp_path / "s.db") as to:
        assert [] == to.told()
        first = await to.keep(exchange(), exchange())
        assert first == to.told()
        assert [] == to.told()
        assert await to.keep(exchange()) == to.told()


async def test_what_is_open_is_told_at_its_end(tmp_path: Path) -> None:
    async with follow(tmp_path / "s.db") as to:
        slow = await to.begin()
        overtook = to.told()
        assert slow.id not in overtook
        assert 1 == len(overtook)
        assert [] == to.told()
        await to.recorder.keep(slow)
        assert [slow.id] == to.told()
        assert [] == to.told()


async def test_who_comes_back_misses_nothing(tmp_path: Path) -> None:
    async with follow(tmp_path / "s.db") as to:
        slow = await to.begin()
        seen = to.told()
        left = Mark.read(to.place.written(NOW_AT))
        await to.recorder.keep(slow)
        further = await to.keep(exchange())
        to.place = resumed(to.library, left)
        assert {slow.id, *further} == set(to.told()) - set(seen)


async def test_what_ended_long_before_is_not_told_again(tmp_path: Path) -> None:
    async with follow(tmp_path / "s.db") as to:
        slow = await to.begin()
        to.told()
        later_at = NOW_AT + 120_000_000
        to.place = resumed(to.library, Mark.read(to.place.written(later_at)))
        assert [] == to.told()
        await to.recorder.keep(slow)
        assert [slow.id] == to.told()


async def test_a_mark_of_another_file_is_taken_for_the_end(tmp_path: Path) -> None:
    async with follow(tmp_path / "s.db") as to:
        await to.keep(exchange())
        to.place = resumed(to.library, Mark(high=10**17, low=10**17, at=0))
        assert await to.keep(exchange()) == to.told()


async def test_a_mark_of_long_ago_holds_only_what_ended_about_its_end(
    tmp_path: Path,
) -> None:
    """Whoever writes marks of his own makes nobody hold all numbers of the file."""
    async with follow(tmp_path / "s.db") as to:
        long_ago = NOW_AT - 3_600_000_000
        old = exchange(created_at=long_ago, ended_at=long_ago + 1)
        await to.keep(*(msgspec.structs.replace(old, id=f"ex_{n}") for n in range(9)))
        await to.keep(exchange(created_at=NOW_AT, ended_at=NOW_AT + 1))
        for high in (10, 400_000):
            assert {10} == resumed(to.library, Mark.read(f"{high}-0-0")).open


async def test_far_behind_it_catches_up_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_AT_ONCE", 2)
    async with follow(tmp_path / "s.db") as to:
        wanted = await to.keep(*(exchange() for _ in range(5)))
        found: list[str] = []
        more = True
        while more:
            one = step(to.library, to.place)
            found += [row.id for row in one.rows]
            assert len(one.rows) <= 2
            to.place, more = one.place, one.more
        assert wanted == found


async def test_many_that_end_at_once_are_told_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with follow(tmp_path / "s.db") as to:
        slow = [await to.begin() for _ in range(5)]
        to.told()
        for one in slow:
            await to.recorder.keep(one)
        monkeypatch.setattr(following, "_AT_ONCE", 2)
        found = [to.told(), to.told(), to.told(), to.told()]
        ids = [one.id for one in slow]
        assert [ids[:2], ids[2:4], ids[4:], []] == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1-2",
        "1-2-x",
        "1-2--3",
        "1-2-3-4",
        "999999-0-0",
        "1-3-0",
        "\N{ARABIC-INDIC DIGIT ONE}-1-1",
    ],
)
def test_a_text_that_is_no_mark_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="none"):
        Mark.read(text)


def test_a_mark_is_short_however_much_is_open() -> None:
    place = Place(10**9, frozenset(range(10**5)))
    low = Mark.read(place.written(NOW_AT)).low
    assert 0 < low < 10**9
    near = Place(10**5, frozenset(range(10**5)))
    assert Mark(10**5, 0, NOW_AT) == Mark.read(near.written(NOW_AT))
    assert len(place.written(NOW_AT)) < 60
