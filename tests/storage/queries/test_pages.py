"""Pages: by key in both orders, in bounded time, of one's own projects only."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from storage.assemble import Kept
from storage.errors import BadCursor, BadQuery
from storage.index.indexer import Indexer
from storage.queries import looking
from storage.queries.content import Said
from storage.queries.language import parse
from storage.queries.pages import Page, cursor_at, everything, newest, page
from storage.queries.tree import Node
from storage.reading import open_library
from tests.storage.queries.conftest import COUNT, Shelf, made, read, record


def ids(found: Page) -> list[str]:
    return [row.id for row in found.rows]


def paged(
    shelf: Shelf,
    query: Node | None,
    *,
    limit: int,
    newest_first: bool,
    deadline_s: float = 9,
) -> list[str]:
    """Return all ids, page by page."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        found = page(
            shelf.library,
            query,
            cursor=cursor,
            limit=limit,
            newest_first=newest_first,
            deadline_s=deadline_s,
        )
        assert len(found.rows) <= limit
        seen += ids(found)
        cursor = found.cursor
        if cursor is None:
            return seen


@pytest.mark.parametrize("limit", [1, 7, COUNT - 1, COUNT, COUNT + 1])
@pytest.mark.parametrize("window", [1, 5, 4096])
@pytest.mark.parametrize("text", ["", "status:200", "model:none"])
def test_pages_follow_one_another_in_both_orders(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, limit: int, window: int, text: str
) -> None:
    monkeypatch.setattr(looking, "WINDOW_ROWS", window)
    wanted = [
        one.id
        for one in shelf.exchanges
        if not text or (one.status == 200 and "none" not in text)
    ]
    query = parse(text)
    assert wanted == paged(shelf, query, limit=limit, newest_first=False)
    assert wanted[::-1] == paged(shelf, query, limit=limit, newest_first=True)
    assert wanted == [row.id for row in everything(shelf.library, query)]


def test_a_page_that_runs_out_of_time_says_where_to_go_on(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "WINDOW_ROWS", 10)
    monkeypatch.setattr(looking, "UNSURE_ROWS", 10)
    monkeypatch.setattr("storage.index.candidates._FIRST_ROWS", 10)
    monkeypatch.setattr("storage.index.candidates._LEAST_ROWS", 10)
    first = page(shelf.library, parse("status>=0"), limit=COUNT, deadline_s=-1)
    assert 0 < len(first.rows) < COUNT
    assert cursor_at(first.reached) == first.cursor
    some = parse("status:200")
    for newest_first in (True, False):
        seen = paged(shelf, some, limit=50, newest_first=newest_first, deadline_s=-1)
        wanted = [one.id for one in shelf.exchanges if one.status == 200]
        assert wanted == (seen[::-1] if newest_first else seen)


def test_what_is_reached_is_where_a_follower_goes_on(shelf: Shelf) -> None:
    last = newest(shelf.library)
    assert COUNT == last
    found = page(shelf.library, parse("model:none"), newest_first=False)
    assert (None, last) == (found.cursor, found.reached)
    behind = cursor_at(last, newest_first=False)
    assert [] == ids(page(shelf.library, None, newest_first=False, cursor=behind))


def test_rows_of_other_projects_are_never_there(shelf: Shelf) -> None:
    for projects in (
        frozenset[str](), frozenset({"mine"}), frozenset({"mine", "yours"})
    ):  # fmt: skip
        wanted = [one.id for one in shelf.exchanges if one.project in projects]
        for text in ("", "project:*", "not model:none", "status>=0 or project:yours"):
            found = page(shelf.library, parse(text), projects=projects, limit=COUNT)
            assert wanted[::-1] == ids(found)
    yours = next(one.id for one in shelf.exchanges if one.project == "yours")
    for text in (f"id:{yours}", f"thread:{yours}", "project:yours"):
        found = page(shelf.library, parse(text), projects=frozenset({"mine"}))
        assert ([], None) == (found.rows, found.cursor)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "n", "o5", "n-1", "n1 ", "n\0", "n" * 2**20, "n" + "9" * 40, "n٣", "\ud800"],
)  # fmt: skip
def test_a_broken_cursor_is_refused(shelf: Shelf, cursor: str) -> None:
    with pytest.raises(BadCursor, match="none that a page of this order gave"):
        page(shelf.library, None, cursor=cursor)


def test_a_cursor_past_the_end_is_the_end(shelf: Shelf) -> None:
    far = cursor_at(10**18 - 1)
    assert COUNT == len(page(shelf.library, None, cursor=far, limit=COUNT + 1).rows)
    far = cursor_at(10**18 - 1, newest_first=False)
    found = page(shelf.library, None, cursor=far, newest_first=False)
    assert ([], None) == (found.rows, found.cursor)


def test_text_that_nobody_can_read_is_said_to_be_so(shelf: Shelf) -> None:
    with pytest.raises(BadQuery, match="cannot be searched here"):
        page(shelf.library, parse("fox"))


def test_bodies_are_read_of_rows_alone_that_pass_the_rest(shelf: Shelf) -> None:
    asked: list[int] = []

    def reading(kept: object) -> object:
        asked.append(1)
        return read(kept)  # type: ignore[arg-type]  # counted on the way

    query = parse("fox status:404")
    found = page(shelf.library, query, read=reading, limit=COUNT)  # type: ignore[arg-type]  # as above
    wanted = [one for one in shelf.exchanges if one.status == 404]
    # Fewer where the index knows the words of some.
    assert len(asked) <= len(wanted)
    assert 0 < len(found.rows) < len(wanted)


@pytest.mark.parametrize(("newest_first", "bodies"), [(True, 10), (False, COUNT)])
def test_words_the_index_lacks_are_looked_for_in_the_newest_bodies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, newest_first: bool, bodies: int
) -> None:
    """Who asks for the newest gets some at once; who follows all rows misses none."""
    looked_at: set[str] = set()

    def noted(kept: Kept) -> Said:
        looked_at.add(kept.row.id)
        return read(kept)

    path = tmp_path / "a.db"
    exchanges = made()
    asyncio.run(record(path, exchanges))
    with closing(Indexer(path)) as indexer:  # which knows no words
        while indexer.step():
            pass
    monkeypatch.setattr(looking, "MOST_BODIES", 10)
    with open_library(path) as library:
        found = page(
            library, parse("nowhere"), newest_first=newest_first, read=noted, limit=5
        )
    newest_last = [one.id for one in exchanges]
    assert looked_at == set(newest_last[-bodies:])
    assert (found.rows, found.cursor, found.unindexed) == ([], None, COUNT)
