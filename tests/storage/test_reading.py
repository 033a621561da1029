"""Reading: pages by key, filters, prefixes, sums; bodies only where they are asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.errors import NoSuchExchange, Unreadable
from storage.reading import Filters, Library, Stats, open_library
from storage.recorder import Recorder
from storage.records import Usage
from tests.storage.make import NOW_AT, clock, exchange

pytestmark = pytest.mark.anyio

DAY_US = 86_400_000_000


@pytest.fixture
async def library(tmp_path: Path) -> AsyncIterator[Library]:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        for number in range(12):
            made = exchange(
                model_asked="small" if number % 2 else "large",
                model_served="large-1",
                status=429 if number == 3 else 200,
                state="incomplete" if number == 3 else "complete",
                reason="upstream_error" if number == 3 else None,
                tags={"n": str(number), "team": "billing"},
                created_at=NOW_AT + (number // 6) * DAY_US,
                usage=Usage(10, None, None if number == 3 else 5, None),
            )
            recorder.accept(made.id)
            await recorder.keep(made)
    with open_library(path) as opened:
        yield opened


def numbers(rows: list[object]) -> list[int]:
    return [int(row.tags["n"]) for row in rows]  # type: ignore[attr-defined]  # rows


async def test_pages_follow_one_another_newest_first(library: Library) -> None:
    first = library.page(limit=5)
    second = library.page(limit=5, before=first[-1].id)
    third = library.page(limit=5, before=second[-1].id)
    assert numbers([*first, *second, *third]) == list(range(11, -1, -1))
    assert library.page(before=third[-1].id) == []
    with pytest.raises(NoSuchExchange):
        library.page(before="ex_none")


async def test_what_came_after_is_told_oldest_first(library: Library) -> None:
    assert numbers([*library.after(9)]) == [9, 10, 11]
    assert numbers([*library.after(0, limit=2)]) == [0, 1]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(model="small", tag=("n", "5")), [5]),
        (Filters(model="large-1", status=429), [3]),
        (Filters(state="incomplete"), [3]),
        (Filters(upstream="other"), []),
        (Filters(project="anonymous", tag=("n", "7")), [7]),
        (Filters(tag=("team", "sales")), []),
    ],
)
async def test_rows_equal_their_filters(
    library: Library, filters: Filters, found: list[int]
) -> None:
    assert numbers([*library.page(filters=filters)]) == found
    assert numbers([*library.rows(filters=filters)]) == found
    assert numbers([*library.after(0, filters=filters)]) == found


async def test_all_rows_come_once_and_in_order(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at_once in (1, 5, 12, 500):
        monkeypatch.setattr("storage.reading._AT_ONCE", at_once)
        assert numbers([*library.rows()]) == list(range(12))


async def test_an_exchange_is_found_by_either_id(library: Library) -> None:
    row = library.page(limit=1)[0]
    assert library.find(row.completion_id) == [row]
    assert library.find(row.id) == [row]
    assert row in library.find(row.id[:-1])
    assert library.find("") == []
    assert library.find("ex_%") == []
    with pytest.raises(NoSuchExchange):
        library.one("ex_none")


async def test_stats_add_up_by_model_upstream_day_and_state(library: Library) -> None:
    one = exchange()
    asked, got = one.request_size, one.answer_size
    first, second = ("large-1", "default", "2026-09-21"), ("2026-09-22", "complete")
    assert library.stats() == [
        Stats(*first, "complete", 5, 0, 50, 25, 5 * asked, 5 * got),
        Stats(*first, "incomplete", 1, 1, 10, 0, asked, got),
        Stats(*first[:2], *second, 6, 0, 60, 30, 6 * asked, 6 * got),
    ]


async def test_stats_name_the_model_asked_for_where_none_answered(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        made = exchange(model_asked="m-1", model_served="", status=429)
        recorder.accept(made.id)
        await recorder.keep(made)
    with open_library(path) as library:
        (group,) = library.stats()
    assert ("m-1", 1, 1) == (group.model, group.exchanges, group.failed)


async def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(Unreadable, match=r"none\.db cannot be read: "):
        open_library(path).__enter__()
    assert not path.exists()


async def test_a_list_never_touches_a_body(library: Library) -> None:
    queries: list[str] = []
    library.connection.set_trace_callback(queries.append)
    library.page()
    library.page(filters=Filters(tag=("n", "1")))
    library.after(0)
    list(library.rows())
    library.stats()
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
