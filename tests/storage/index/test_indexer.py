"""The indexer: what is recorded, changed and removed is told so by the index."""

import asyncio
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import orjson
import pytest

from storage.assemble import Kept
from storage.changes import remove, set_tags, strip
from storage.engines.sqlite import open_reader
from storage.errors import DatabaseInUse
from storage.index.behind import catch_up
from storage.index.candidates import blocks
from storage.index.file import index_path
from storage.index.indexer import Indexer
from storage.index.reader import Index
from storage.queries.content import Said
from storage.queries.tree import Node, Term, Words
from storage.recorder import Recorder
from storage.records import Exchange, Progress
from tests.storage.make import chat, clock, exchange

pytestmark = pytest.mark.anyio

SYSTEM = ("system", "Answer like a botanist")


def said(kept: Kept) -> Said:
    """Read chat bodies, as far as these tests need it."""
    asked = [one["content"] for one in orjson.loads(kept.request).get("messages", ())]
    told = orjson.loads(kept.answer)["choices"][0]["message"]["content"]
    tools = {word[5:] for word in told.split() if word.startswith("call:")}
    return Said("\n".join((*asked, told)), frozenset(tools))


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    async with Recorder.open(tmp_path / "a.db", clock=clock) as opened:
        yield opened


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


async def keep(recorder: Recorder, *exchanges: Exchange) -> None:
    for one in exchanges:
        recorder.accept(one.id)
        await recorder.keep(one)


async def talk(recorder: Recorder, *turns: tuple[str, str]) -> None:
    """Record a conversation, each turn with all that was said before it."""
    told = [SYSTEM]
    for asked, answer in turns:
        told.append(("user", asked))
        await keep(recorder, exchange(chat(*told), answer))
        told.append(("assistant", answer))


async def bring_up(db: Path, recorder: Recorder | None = None) -> None:
    """Index all there is; the changes are settled by hand, as the recorder would."""
    waiting: list[object] = []
    settle = None if recorder is None else waiting.append
    with closing(Indexer(db, read=said, settle=settle)) as indexer:
        while indexer.step():
            while recorder is not None and waiting:
                await recorder.change(waiting.pop())  # type: ignore[arg-type]  # a change


@contextmanager
def read(db: Path) -> Iterator[Index]:
    with closing(open_reader(db)) as main:
        index = Index.open(db, main)
        assert index is not None
        with closing(index):
            yield index


def find(db: Path, node: Node | None) -> tuple[list[int], list[int]]:
    """Return what surely matches, and what may beside it; newest first."""
    with read(db) as index:
        told = list(blocks(index, node, projects=None, newest_first=True))
    sure = [
        seq
        for block in told
        for seq in block.seqs
        if block.sure is True or (block.sure is not False and seq in block.sure)
    ]
    return sure, [seq for block in told for seq in block.seqs if seq not in sure]


async def test_a_conversation_is_found_by_each_word_once(
    db: Path, recorder: Recorder
) -> None:
    await talk(recorder, ("which fern", "a bracken"), ("and moss", "sphagnum call:x"))
    await talk(recorder, ("which fern", "a bracken"), ("is it old", "very old"))
    await bring_up(db, recorder)
    assert ([3, 1], []) == find(db, Words("fern"))
    assert ([3, 1], []) == find(db, Words("botanist"))
    assert ([3, 1], []) == find(db, Words("bracken"))
    assert ([2], []) == find(db, Words("SPHAG", prefix=True))
    assert ([4], []) == find(db, Words("it old"))
    assert ([], []) == find(db, Words("old it"))
    assert ([2], []) == find(db, Term("tool", "=", "x"))


async def test_what_is_under_way_is_looked_at_until_it_ended(
    db: Path, recorder: Recorder
) -> None:
    whole = exchange(chat(("user", "how long")), "for ever")
    started = msgspec.structs.replace(
        whole, state="open", answer=b"", chunks=(), ended_at=None, finish_reason=None
    )
    recorder.accept(whole.id)
    recorder.note(Progress(exchange=started, part=b"{", at_byte=0))
    await keep(recorder, exchange())
    await bring_up(db, recorder)
    assert ([], [1]) == find(db, Term("state", "=", "incomplete"))
    assert ([], [1]) == find(db, Words("ever"))
    await recorder.keep(whole)
    await bring_up(db, recorder)
    assert ([2, 1], []) == find(db, Term("state", "=", "complete"))
    assert ([1], []) == find(db, Words("ever"))


@pytest.mark.parametrize("tagged", [True, False])
async def test_one_that_ended_after_a_thousand_that_did_not_is_found(
    db: Path,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    tagged: bool,  # noqa: FBT001  pytest
) -> None:
    monkeypatch.setattr("storage.index.again._MOST_ROWS", 4)
    whole = [exchange(chat(("user", "how long")), "for ever") for _ in range(7)]
    for one in whole:
        started = msgspec.structs.replace(
            one, state="open", answer=b"", chunks=(), ended_at=None, finish_reason=None
        )
        recorder.accept(one.id)
        recorder.note(Progress(exchange=started, part=b"{", at_byte=0))
    await keep(recorder, exchange())
    await bring_up(db, recorder)
    await recorder.keep(whole[-1])
    with closing(open_reader(db)) as main:
        (seq,) = main.execute(
            "SELECT seq FROM exchanges WHERE id = ?", (whole[-1].id,)
        ).fetchone()
    if tagged:
        await recorder.change(lambda its: set_tags(its, seq, {"a": "1"}))
    await bring_up(db, recorder)
    sure, maybe = find(db, Words("ever"))
    assert [seq] == sure
    assert 6 == len(maybe)


async def test_a_changed_row_is_looked_at_until_the_index_has_it(
    db: Path, recorder: Recorder
) -> None:
    await keep(recorder, exchange(), exchange())
    await bring_up(db, recorder)
    await recorder.change(lambda its: set_tags(its, 1, {"team": "sales"}))
    assert ([2], [1]) == find(db, Term("tag.team", "=", "billing"))
    await bring_up(db, recorder)
    assert ([2], []) == find(db, Term("tag.team", "=", "billing"))
    assert ([1], []) == find(db, Term("tag.team", "=", "sales"))
    assert ([2, 1], []) == find(db, Words("hello"))
    with closing(open_reader(db)) as main:
        assert [] == main.execute("SELECT seq FROM changed").fetchall()


@pytest.mark.parametrize("left", [0, 1])
async def test_a_row_that_went_before_it_was_indexed_is_settled(
    db: Path, recorder: Recorder, left: int
) -> None:
    """No row comes after it, so the index may never get as far."""
    await keep(recorder, *(exchange() for _ in range(left)))
    await bring_up(db, recorder)
    await keep(recorder, exchange())
    await recorder.change(lambda its: remove(its, [left + 1]))
    await bring_up(db, recorder)
    with closing(open_reader(db)) as main:
        assert [] == main.execute("SELECT seq FROM changed").fetchall()


async def test_a_row_changed_once_more_stays_to_be_looked_at(
    db: Path, recorder: Recorder
) -> None:
    await keep(recorder, exchange())
    await bring_up(db, recorder)
    await recorder.change(lambda its: set_tags(its, 1, {"a": "1"}))
    waiting: list[object] = []
    with closing(Indexer(db, read=said, settle=waiting.append)) as indexer:
        indexer.step()
    await recorder.change(lambda its: set_tags(its, 1, {"a": "2"}))
    await recorder.change(waiting.pop())  # type: ignore[arg-type]  # a change
    assert ([], [1]) == find(db, Term("tag.a", "=", "2"))


def kept_bytes(db: Path) -> bytes:
    return b"".join(
        path.read_bytes() for path in db.parent.iterdir() if "-index" in path.name
    )


@pytest.mark.parametrize("how", [remove, strip])
async def test_what_is_removed_is_in_no_byte_of_the_index(
    db: Path, recorder: Recorder, how: type
) -> None:
    """Deleted is gone: its words, its tags, and what the log had of them."""
    secret = exchange(
        chat(("user", "the qwertzsecret word")), tags={"mnbkeysecret": "yxcvsecret"}
    )
    await keep(recorder, exchange(text="before"), secret, exchange(text="after"))
    await bring_up(db, recorder)
    assert b"wertzsecret" in kept_bytes(db)
    await recorder.change(lambda its: how(its, [2]))
    with read(db):  # while somebody has it open its log stays
        await bring_up(db, recorder)
        assert b"wertzsecret" not in kept_bytes(db)
        assert (b"yxcvsecret" in kept_bytes(db)) == (how is strip)
        assert (b"mnbkeysecret" in kept_bytes(db)) == (how is strip)
    assert ([], []) == find(db, Words("qwertzsecret"))
    assert ([1], []) == find(db, Words("before"))
    assert ([3], []) == find(db, Words("after"))
    assert ([3, 2, 1] if how is strip else [3, 1], []) == find(db, None)
    with closing(open_reader(db)) as main:
        assert [] == main.execute("SELECT seq FROM changed").fetchall()


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_byte_of_a_removed_tag_is_left_where_rows_moved(
    db: Path, recorder: Recorder, seed: int
) -> None:
    """`secure_delete` overwrites a row where it stands, and not where it stood."""
    rng = random.Random(seed)
    marks = [f"{rng.randrange(16**6):06x}-{n:03d}x" for n in range(150)]
    for start in range(0, len(marks), 10):
        some = marks[start : start + 10]
        await keep(recorder, *(exchange(tags=tags_of(mark)) for mark in some))
        await bring_up(db, recorder)
    left = list(range(len(marks)))
    rng.shuffle(left)
    with read(db):  # while somebody has it open its log stays
        while left:
            seqs = [left.pop() + 1 for _ in range(min(len(left), 25))]
            await recorder.change(partial(remove, seqs=seqs))
            await bring_up(db, recorder)
            data = kept_bytes(db)
            told = [at for at, mark in enumerate(marks) if mark.encode() in data]
            assert sorted(left) == told


def tags_of(mark: str) -> dict[str, str]:
    return {f"k{n}": f"{mark}{' pad' * (n * 7 % 40)}" for n in range(12)}


async def test_rows_that_came_since_are_not_told(db: Path, recorder: Recorder) -> None:
    await keep(recorder, exchange())
    await bring_up(db, recorder)
    await keep(recorder, exchange())
    assert ([1], []) == find(db, None)
    with read(db) as index:
        assert 1 == index.progress.indexed
    await bring_up(db, recorder)
    assert ([2, 1], []) == find(db, None)


@pytest.mark.parametrize("damage", ["gone", "torn", "another"])
async def test_an_index_of_no_use_is_made_again(
    db: Path, recorder: Recorder, damage: str
) -> None:
    await keep(recorder, exchange())
    await bring_up(db, recorder)
    path = index_path(db)
    if damage == "gone":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(b"no database at all" * 4000)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    with closing(open_reader(db)) as main:
        assert Index.open(db, main) is None
    await bring_up(db, recorder)
    assert ([1], []) == find(db, Words("hello"))
    assert 0o600 == path.stat().st_mode & 0o777


LOCK = """
import fcntl, sys
with open(sys.argv[1], "rb+") as file:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
"""


async def test_an_index_opened_once_more_keeps_the_locks_of_its_readers(
    db: Path, recorder: Recorder
) -> None:
    """Else another process may take the log away under them (howtocorrupt.html, 2.2)."""
    await keep(recorder, exchange())
    await bring_up(db, recorder)
    with read(db) as index:
        index.connection.execute("SELECT * FROM fields").fetchall()
        await bring_up(db, recorder)
        command = (sys.executable, "-c", LOCK, str(index_path(db)))
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True)
        assert b"BlockingIOError" in done.stderr


async def test_an_older_copy_of_the_file_gets_an_index_of_its_own(db: Path) -> None:
    """A backup that is put back must not be answered from what came after it."""
    copy = db.with_name("copy")
    async with Recorder.open(db, clock=clock) as recorder:
        await keep(recorder, exchange(text="first"))
    shutil.copy(db, copy)
    async with Recorder.open(db, clock=clock) as recorder:
        await keep(recorder, exchange(text="second"), exchange(text="third"))
    await bring_up(db)
    shutil.copy(copy, db)
    async with Recorder.open(db, clock=clock) as recorder:
        await keep(recorder, *(exchange(text="fourth") for _ in range(4)))
    with closing(open_reader(db)) as main:
        assert Index.open(db, main) is None
    await bring_up(db)
    assert ([], []) == find(db, Words("second"))
    assert ([5, 4, 3, 2], []) == find(db, Words("fourth"))


async def test_catching_up_leaves_it_to_a_running_indexer(
    db: Path, recorder: Recorder
) -> None:
    await keep(recorder, exchange())
    assert [0] == list(catch_up(db, said))
    going = catch_up(db, said)
    await keep(recorder, exchange())
    assert 0 == next(going)
    assert [] == list(catch_up(db, said))
    going.close()
    await recorder.change(lambda its: set_tags(its, 1, {"a": "1"}))
    assert [] == list(catch_up(db, said))  # only the recorder may take it off the list
    with pytest.raises(DatabaseInUse):
        await bring_up(db)
    assert ([], [1]) == find(db, Term("tag.a", "=", "1"))
