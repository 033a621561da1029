"""The index beside a living proxy: it follows what is recorded, and disturbs nothing."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from storage.changes import remove, set_tags
from storage.engines.sqlite import open_reader
from storage.index.candidates import blocks
from storage.index.file import index_path
from storage.index.reader import Index
from storage.queries.tree import Node, Term, Words
from tests.living import Living, RawClient, living_proxy
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Wire,
    completion,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio

POLL_S = 0.02


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def record(proxy: Living, count: int) -> None:
    async with RawClient.connect(proxy.port) as client:
        for _ in range(count):
            await client.post("/v1/chat/completions", CHAT)
            _, headers = await client.head()
            await client.body(headers)
            assert "yes" == headers["x-spiritsafe-recorded"]


async def metric(proxy: Living, name: str) -> float:
    async with RawClient.connect(proxy.port) as client:
        await client.send(b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n")
        _, headers = await client.head()
        lines = (await client.body(headers)).decode().splitlines()
    (line,) = [line for line in lines if line.startswith(name + " ")]
    return float(line.split()[1])


def found(db: Path, node: Node) -> list[int] | None:
    """Return the rows that surely match, newest first; None without an index."""
    with closing(open_reader(db)) as main:
        index = Index.open(db, main)
        if index is None:
            return None
        with closing(index):
            told = list(blocks(index, node, projects=None, newest_first=True))
    return [seq for block in told if block.sure is True for seq in block.seqs]


async def until_found(db: Path, node: Node, wanted: list[int]) -> None:
    async with asyncio.timeout(60):
        while found(db, node) != wanted:  # noqa: ASYNC110  a file has no event
            await asyncio.sleep(POLL_S)


async def test_it_follows_what_is_recorded_and_goes_on_after_a_restart(
    tmp_path: Path,
) -> None:
    db = tmp_path / "s.db"
    async with scripted_upstream(plain) as upstream:
        for run in range(2):
            async with living_proxy(db, upstream.url) as proxy:
                await record(proxy, 3)
                all_of_them = list(range(3 * run + 3, 0, -1))
                await until_found(db, Words("hi"), all_of_them)
                await until_found(db, Term("status", "=", 200), all_of_them)
                async with asyncio.timeout(60):
                    while await metric(proxy, "spiritsafe_index_rows_behind"):  # noqa: ASYNC110  a file has no event
                        await asyncio.sleep(POLL_S)
                    while await metric(proxy, "spiritsafe_index_words_behind"):  # noqa: ASYNC110  a file has no event
                        await asyncio.sleep(POLL_S)


async def test_the_recorder_settles_what_the_index_has_looked_at_again(
    tmp_path: Path,
) -> None:
    db = tmp_path / "s.db"
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(db, upstream.url) as proxy,
    ):
        await record(proxy, 2)
        await until_found(db, Words("hi"), [2, 1])
        await proxy.app._recorder.change(lambda its: remove(its, [1]))
        await until_found(db, Words("hi"), [2])
        async with asyncio.timeout(60):
            with closing(open_reader(db)) as main:
                while main.execute("SELECT seq FROM changed").fetchall():  # noqa: ASYNC110  a file has no event
                    await asyncio.sleep(POLL_S)


async def test_without_an_index_no_list_grows_for_it(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(db, upstream.url, index=False) as proxy,
    ):
        await record(proxy, 2)
        for seq in (1, 2):
            tag = partial(set_tags, seq=seq, add={"a": "b"})
            await proxy.app._recorder.change(tag)
        async with asyncio.timeout(60):
            with closing(open_reader(db)) as main:
                while main.execute("SELECT seq FROM changed").fetchall():  # noqa: ASYNC110  a file has no event
                    await asyncio.sleep(POLL_S)


@pytest.mark.parametrize("damage", [b"no database at all" * 4000, None])
async def test_an_index_that_cannot_be_used_costs_no_record(
    tmp_path: Path, damage: bytes | None
) -> None:
    """Derived: a damaged one is made again, one that cannot be is done without."""
    db = tmp_path / "s.db"
    path = index_path(db)
    if damage is None:
        path.mkdir()
    else:
        path.write_bytes(damage)
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(db, upstream.url) as proxy,
    ):
        await record(proxy, 2)
        if damage is not None:
            await until_found(db, Words("hi"), [2, 1])
    with closing(sqlite3.connect(db)) as connection:
        assert (2,) == connection.execute("SELECT count(*) FROM exchanges").fetchone()


async def test_switched_off_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """Else text that is removed from the file would stay in an index that is old."""
    db = tmp_path / "s.db"
    async with scripted_upstream(plain) as upstream:
        async with living_proxy(db, upstream.url) as proxy:
            await record(proxy, 1)
        assert index_path(db).exists()
        async with living_proxy(db, upstream.url, index=False) as proxy:
            await record(proxy, 1)
    assert not index_path(db).exists()
