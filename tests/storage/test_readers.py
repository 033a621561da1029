"""Reading connections are lent for a bounded time and hold nothing back."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest
from pyroaring import BitMap

from storage.engines.sqlite import checkpoint, wal_bytes
from storage.errors import CannotOpen, NoSuchExchange, ReadTooLong, TooManyReads
from storage.index.indexer import Indexer
from storage.index.pairs import Pair
from storage.index.reader import Index
from storage.queries.content import NOTHING
from storage.queries.language import parse
from storage.queries.pages import Page, page
from storage.readers import Readers
from storage.reading import Library
from storage.recorder import Recorder
from tests.storage.make import clock, exchange

pytestmark = pytest.mark.anyio

ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n"
)

LONG = ENDLESS.replace("FROM n)", "FROM n LIMIT 30000000)")


@asynccontextmanager
async def reading(db: Path, **limits: int) -> AsyncIterator[Readers]:
    async with Recorder.open(db, clock=clock) as recorder:
        await kept(recorder)
        readers = Readers(db, **limits)
        try:
            yield readers
        finally:
            readers.close()


async def kept(recorder: Recorder) -> None:
    one = exchange()
    recorder.accept(one.id)
    await recorder.keep(one)


def count(library: Library) -> int:
    return library.count()


def endless(library: Library) -> None:
    library.connection.execute(ENDLESS).fetchone()


async def test_what_is_recorded_is_read(tmp_path: Path) -> None:
    async with reading(tmp_path / "s.db") as readers:
        found = await asyncio.gather(
            *(readers.run(count, timeout_s=5) for _ in range(10))
        )
        assert [1] * 10 == found


async def test_what_takes_too_long_is_broken_off_and_the_next_is_not(
    tmp_path: Path,
) -> None:
    async with reading(tmp_path / "s.db", most_at_once=1) as readers:
        with pytest.raises(ReadTooLong):
            await readers.run(endless, timeout_s=0.01)
        assert 1 == await readers.run(count, timeout_s=5)


async def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    async with reading(db) as readers:
        db.rename(tmp_path / "away.db")
        with pytest.raises(CannotOpen, match="No such file"):
            await readers.run(count, timeout_s=5)
        (tmp_path / "away.db").rename(db)
        assert 1 == await readers.run(count, timeout_s=5)


async def test_what_the_index_takes_too_long_for_is_broken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file has a connection of its own, which the other one's end does not end."""

    def slow(index: Index, *_: object) -> Pair:
        index.connection.execute(LONG).fetchone()
        return Pair(BitMap(), BitMap())

    def search(library: Library) -> Page:
        return page(library, parse("hello"), read=lambda _: NOTHING)

    db = tmp_path / "s.db"
    monkeypatch.setattr("storage.index.texts.pair", slow)
    async with reading(db, most_at_once=1) as readers:
        with closing(Indexer(db, settle=lambda _: None)) as indexer:
            while indexer.step():
                pass
        with pytest.raises(ReadTooLong):
            await readers.run(search, timeout_s=0.01)
        assert 1 == await readers.run(count, timeout_s=5)


async def test_an_interruption_between_two_statements_is_repeated(
    tmp_path: Path,
) -> None:
    late = threading.Event()

    def slow(library: Library) -> None:
        late.wait(0.03)  # past its time, and no statement runs
        endless(library)

    async with reading(tmp_path / "s.db", most_at_once=1) as readers:
        with pytest.raises(ReadTooLong):
            await readers.run(slow, timeout_s=0.001)


async def test_who_stops_waiting_frees_the_place(tmp_path: Path) -> None:
    async with reading(tmp_path / "s.db", most_at_once=1) as readers:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await readers.run(endless, timeout_s=60)
        assert 1 == await readers.run(count, timeout_s=5)


async def test_more_than_may_wait_are_refused(tmp_path: Path) -> None:
    limits = {"most_at_once": 1, "most_waiting": 1}
    async with reading(tmp_path / "s.db", **limits) as readers:
        begun, goes_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(_: Library) -> None:
            loop.call_soon_threadsafe(begun.set)
            goes_on.wait(30)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(readers.run(hold, timeout_s=60))
            await begun.wait()
            waiting = tasks.create_task(readers.run(count, timeout_s=5))
            await asyncio.sleep(0)
            with pytest.raises(TooManyReads):
                await readers.run(count, timeout_s=5)
            goes_on.set()
        assert 1 == waiting.result()


async def test_errors_come_out_as_they_are_and_those_of_sqlite_by_name(
    tmp_path: Path,
) -> None:
    async with reading(tmp_path / "s.db") as readers:
        with pytest.raises(NoSuchExchange):
            await readers.run(lambda library: library.row("ex_"), timeout_s=5)
        with pytest.raises(CannotOpen):
            await readers.run(
                lambda library: library.connection.execute("SELECT nothing"),
                timeout_s=5,
            )


async def test_a_file_that_took_the_name_is_the_one_that_is_read(
    tmp_path: Path,
) -> None:
    db, other = tmp_path / "s.db", tmp_path / "other.db"
    async with Recorder.open(db, clock=clock) as recorder:
        await kept(recorder)
    async with Recorder.open(other, clock=clock):
        pass
    readers = Readers(db)
    assert 1 == await readers.run(count, timeout_s=5)
    other.rename(db)
    assert 0 == await readers.run(count, timeout_s=5)
    readers.close()


async def test_no_reader_holds_the_log_between_two_calls(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    async with Recorder.open(db, clock=clock) as recorder:
        readers = Readers(db, most_at_once=1)
        for one in range(3):
            if one:
                await kept(recorder)
            await readers.run(count, timeout_s=5)
            with pytest.raises(ReadTooLong):
                await readers.run(endless, timeout_s=0.01)
        assert wal_bytes(db) > 0
        assert await recorder.apply(partial(checkpoint, mode="TRUNCATE"))
        assert 0 == wal_bytes(db)
        readers.close()
