"""Reading: rows, prefixes; bodies only where they are asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.errors import CannotOpen, NoSuchExchange
from storage.queries.pages import page
from storage.queries.tree import Term
from storage.reading import Library, open_library
from storage.recorder import Recorder
from tests.storage.make import clock, exchange

pytestmark = pytest.mark.anyio


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        for number in range(12):
            made = exchange(tags={"n": str(number), "team": "billing"})
            recorder.accept(made.id)
            await recorder.keep(made)
    with open_library(path) as opened:
        yield opened


def numbers(rows: list[object]) -> list[int]:
    return [int(row.tags["n"]) for row in rows]  # type: ignore[attr-defined]  # rows


async def test_all_rows_come_once_and_in_order(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at_once in (1, 5, 12, 500):
        monkeypatch.setattr("storage.reading._AT_ONCE", at_once)
        assert numbers([*library.rows()]) == list(range(12))
    assert library.count() == 12


async def test_an_exchange_is_found_by_either_id(library: Library) -> None:
    row = next(library.rows())
    assert library.find(row.completion_id) == [row]
    assert library.find(row.id) == [row]
    assert row in library.find(row.id[:-1])
    assert library.find("") == []
    assert library.find("ex_%") == []
    with pytest.raises(NoSuchExchange):
        library.one("ex_none")


async def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(CannotOpen, match=r"none\.db cannot be read: "):
        open_library(path).__enter__()
    assert not path.exists()


async def test_a_list_never_touches_a_body(library: Library) -> None:
    queries: list[str] = []
    library.connection.set_trace_callback(queries.append)
    page(library, Term("tag.n", "=", "1"))
    list(library.rows())
    assert queries
    assert not any("payloads" in query or "pieces" in query for query in queries)


async def test_look_ups_by_id_and_for_parents_use_their_indexes(
    library: Library,
) -> None:
    wanted = {
        "id = 'x'": "exchanges_id",
        "id >= 'x' AND id < 'y'": "exchanges_id",
        "completion_id = ? AND completion_id <> ''": "exchanges_completion",
        "messages_node = ?": "exchanges_messages",
        "epoch = ? AND state = 'open'": "exchanges_open",
    }
    for where, index in wanted.items():
        query = f"EXPLAIN QUERY PLAN SELECT * FROM exchanges WHERE {where}"
        values = ("x",) * where.count("?")
        plan = library.connection.execute(query, values).fetchall()
        assert index in plan[0][3], where
