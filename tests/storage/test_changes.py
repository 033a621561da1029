"""Changing and removing rows: what goes, what stays, and what the writer forgets."""

import asyncio
import sqlite3
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import changes
from storage.errors import (
    HeldByRelease,
    NoSuchExchange,
    StillOpen,
    StorageFailed,
)
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Progress
from storage.verify import Finding, verify
from tests.storage.make import chat, clock, exchange
from tests.storage.test_recorder import keep, rows

pytestmark = pytest.mark.anyio


def findings(path: Path) -> list[str]:
    with open_library(path) as library:
        return [one.what for one in verify(library) if isinstance(one, Finding)]


def counts(path: Path) -> list[int]:
    names = ("exchanges", "payloads", "nodes", "pieces", "parts")
    counted = [rows(path, f"SELECT count(*) FROM {name}") for name in names]
    return [number for ((number,),) in counted if isinstance(number, int)]


def asked(*said: str, tools: list[str] | None = None) -> bytes:
    """Return a request; its words are long enough to tell them from others."""
    roles = ("system", "user", "assistant")
    messages = [(roles[at % 3], text) for at, text in enumerate(said)]
    if tools is None:
        return chat(*messages)
    return chat(*messages, tools=[{"name": name} for name in tools])


async def test_tags_are_added_and_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange(tags={"team": "a", "old": "1"}))
        add = partial(changes.set_tags, seq=1, add={"team": "b"}, remove=["old", "no"])
        assert await recorder.change(add) == {"team": "b"}
        assert rows(path, "SELECT tags FROM exchanges") == [('{"team":"b"}',)]
        assert rows(path, "SELECT seq FROM changed") == [(1,)]
        put = partial(changes.replace_tags, seq=1, new={"x": "é\x00"})
        assert await recorder.change(put) == {"x": "é\x00"}
        with pytest.raises(NoSuchExchange):
            await recorder.change(partial(changes.set_tags, seq=9, add={}))
    with open_library(path) as library:
        assert [row.tags for row in library.rows()] == [{"x": "é\x00"}]
    assert findings(path) == []


async def test_what_others_need_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    one = exchange(asked("shared", "mine", tools=["t1", "t2"]))
    two = exchange(asked("shared", "its own", tools=["t1"]))
    longer = exchange(asked("shared", "its own", "hello", "more", tools=["t1"]))
    whole = exchange(b'{"prompt": "no array in it"}')
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, one, two, longer, whole)
        for seqs in ([1], [2, 77], [4]):
            await recorder.change(partial(changes.remove, seqs=seqs))
            assert findings(path) == []
        with open_library(path) as library:
            assert library.one(longer.id).request == longer.request
        await recorder.change(partial(changes.remove, seqs=[3]))
    assert counts(path) == [0] * 5
    assert rows(path, "SELECT seq FROM changed") == [(1,), (2,), (3,), (4,)]
    assert findings(path) == []


async def test_what_was_removed_is_stored_anew_when_it_comes_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        for _ in range(3):
            again = exchange(asked("system", "the same words", tools=["t"]))
            await keep(recorder, again)
            with open_library(path) as library:
                (row,) = library.rows()
                assert library.whole(row).request == again.request
            assert findings(path) == []
            await recorder.change(partial(changes.remove, seqs=[row.seq]))
    assert counts(path) == [0] * 5


async def test_a_stripped_exchange_keeps_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made = exchange(asked("s", "u"), error=b'{"message":"u"}')
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, made)
        assert await recorder.change(partial(changes.strip, seqs=[1])) == 1
    with open_library(path) as library:
        kept = library.one(made.id)
    assert kept.request == kept.answer == b""
    row = kept.row
    assert (row.prompt_preview, row.answer_preview, row.error) == ("", "", None)
    assert (row.tags, row.prompt_tokens, row.content_kept) == (made.tags, 12, 0)
    assert counts(path) == [1, 0, 0, 0, 0]
    assert findings(path) == []


async def test_the_number_of_a_removed_row_is_not_given_again(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for expected in ([1], [2], [3]):
        async with Recorder.open(path, clock=clock) as recorder:
            await keep(recorder, exchange())
            assert rows(path, "SELECT seq FROM exchanges") == [tuple(expected)]
            await recorder.change(partial(changes.remove, seqs=expected))
    assert findings(path) == []


async def test_what_is_open_or_held_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    begun = exchange(state="open", answer=b"", answer_size=0)
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"some", at_byte=0))
        await keep(recorder, exchange())
        for change in (
            partial(changes.remove, seqs=[2, 1]),
            partial(changes.strip, seqs=[1]),
            partial(changes.replace_tags, seq=1, new={}),
        ):
            with pytest.raises(StillOpen):
                await recorder.change(change)
        await recorder.change(lambda c: c.execute("INSERT INTO held VALUES (2)"))
        with pytest.raises(HeldByRelease):
            await recorder.change(partial(changes.remove, seqs=[2]))
    assert rows(path, "SELECT seq FROM exchanges") == [(1,), (2,)]
    assert findings(path) == []


async def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    def fail(connection: sqlite3.Connection) -> None:
        changes.remove(connection, [1])
        raise LookupError

    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
        with pytest.raises(LookupError):
            await recorder.change(fail)
        with pytest.raises(StorageFailed, match="no such table"):
            await recorder.change(lambda c: c.execute("DELETE FROM absent"))
        assert await keep(recorder, exchange(), exchange()) == [True, True]
    assert counts(path)[0] == 3
    assert findings(path) == []
    with pytest.raises(StorageFailed, match="stopped"):
        await recorder.change(partial(changes.remove, seqs=[1]))


async def test_content_that_may_not_stay_takes_its_pieces_along(tmp_path: Path) -> None:
    """What was noted of a request is gone once its answer turns out to hold the key."""
    path = tmp_path / "a.db"
    begun = exchange(asked("s", "secret words"), state="open", answer=b"")
    ended = msgspec.structs.replace(
        begun, state="complete", content_kept=False, request=b"", answer_keys=()
    )
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"some", at_byte=0))
        await keep(recorder, exchange(asked("s", "other")))
        await recorder.keep(ended)
    found = "SELECT count(*) FROM pieces WHERE instr(data, CAST('secret' AS BLOB))"
    assert rows(path, found) == [(0,)]
    assert findings(path) == []


texts = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=5)


@given(st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=12), st.data())
@settings(max_examples=25)
def test_whatever_is_removed_the_rest_is_whole(
    tmp_path_factory: pytest.TempPathFactory,
    plan: list[tuple[list[str], bool]],
    data: st.DataObject,
) -> None:
    path = tmp_path_factory.mktemp("removed") / "a.db"
    made = [
        exchange(asked(*said, tools=said[:2] if tools else None))
        for said, tools in plan
    ]

    async def play() -> None:
        async with Recorder.open(path, clock=clock) as recorder:
            await keep(recorder, *made)
            for at in data.draw(st.permutations(range(len(made)))):
                await recorder.change(partial(changes.remove, seqs=[at + 1]))
                assert findings(path) == []
                await keep(recorder, made[at])

    asyncio.run(play())
