"""The recorder: what it says is on disk is on disk, and all is accounted for."""

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from storage.commits import Outcome
from storage.engines.sqlite import open_reader
from storage.errors import DatabaseInUse, StorageFailed
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Chunk, Exchange, Progress
from storage.safekeeping import Limits
from storage.verify import Finding, verify
from storage.writer import Tally, _Rows
from tests.storage.make import chat, clock, exchange

pytestmark = pytest.mark.anyio

FEW = Limits(queue_bytes=1000)


async def keep(recorder: Recorder, *made: Exchange) -> list[bool | BaseException]:
    for one in made:
        recorder.accept(one.id)
    return await asyncio.gather(
        *(recorder.keep(one) for one in made), return_exceptions=True
    )


def findings(path: Path) -> list[Finding]:
    with open_library(path) as library:
        return [step for step in verify(library) if isinstance(step, Finding)]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    reader = open_reader(path)
    try:
        return reader.execute(query).fetchall()
    finally:
        reader.close()


def names(folder: Path, content: bytes = b"") -> list[str]:
    files = [file for file in folder.iterdir() if content in file.read_bytes()]
    return sorted(file.name for file in files)


async def test_a_kept_exchange_is_in_the_file_when_keep_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        made = exchange()
        assert await keep(recorder, made) == [True]
        assert rows(path, "SELECT seq, id FROM exchanges") == [(1, made.id)]
        assert recorder.counters.complete == 1
        assert recorder.counters.balanced
    assert findings(path) == []


async def test_an_exchange_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    body = chat(("system", "s"), ("user", "é " * 200), tools=[{"a": 1}, {"b": 2}])
    made = exchange(body, text="long " * 300, dropped_tags=("env",), error=b"{}")
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, made)
    with open_library(path) as library:
        kept = library.one(made.id)
    for name in ("request", "request_sha256", "sent_sha256", "answer", "answer_sha256",
                 "edits", "flags", "dropped_tags", "request_headers", "answer_headers",
                 "chunks"):  # fmt: skip
        assert getattr(kept, name) == getattr(made, name), name
    for name in set(kept.row.__struct_fields__) & set(made.__struct_fields__):
        assert getattr(kept.row, name) == getattr(made, name), name
    assert kept.row.tags == made.tags
    assert kept.row.cached_tokens == made.usage.cached_tokens
    assert (kept.parent_id, kept.thread_id) == (None, made.id)


async def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "a.db", clock=clock) as recorder:
        await keep(recorder, *(exchange() for _ in range(50)))
        assert recorder.counters.batches == 1
        assert recorder.counters.last_batch_size == 50


async def test_waiting_no_longer_does_not_undo_the_commit(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        made = exchange()
        recorder.accept(made.id)
        waiting = asyncio.gather(recorder.keep(made), return_exceptions=True)
        await asyncio.sleep(0)
        waiting.cancel()
    assert recorder.counters.complete == 1
    assert recorder.counters.balanced
    assert rows(path, "SELECT id FROM exchanges") == [(made.id,)]


async def test_relaxed_returns_at_once_and_commits_after(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made = exchange()
    async with Recorder.open(path, clock=clock, durability="relaxed") as recorder:
        assert await keep(recorder, made) == [False]
        assert recorder.counters.in_flight == 1
    assert recorder.counters.complete == 1
    assert rows(path, "SELECT id FROM exchanges") == [(made.id,)]


async def test_d6_a_full_queue_holds_the_reader_back_until_it_is_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock, limits=FEW) as recorder:
        made = exchange(chat(("user", "x" * 2000)))
        recorder.accept(made.id)
        waiting = asyncio.gather(recorder.keep(made))
        await asyncio.sleep(0)
        assert recorder.full
        await recorder.room()
        assert not recorder.full
        assert await waiting == [True]
        assert recorder.counters.queue_bytes == 0


async def test_progress_is_one_row_that_the_end_completes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made = exchange(streamed=True)
    begun = msgspec.structs.replace(
        made, state="open", answer=b"", chunks=(), answer_keys=(), ended_at=None
    )
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(made.id)
        half = len(made.answer) // 2
        for start in (0, half):
            part = made.answer[start : start + half]
            chunk = Chunk(len(part), start)
            recorder.note(
                Progress(exchange=begun, part=part, at_byte=start, chunks=(chunk,))
            )
            other = exchange()
            await keep(recorder, other)
        with open_library(path) as library:
            kept = library.one(made.id)
            assert kept.row.state == "open"
            assert kept.answer == made.answer[: 2 * half]
            assert [chunk.after_us for chunk in kept.chunks] == [0, half]
        assert recorder.counters.in_flight == 1
        assert await recorder.keep(made)
        assert rows(path, "SELECT count(*) FROM parts") == [(0,)]
    with open_library(path) as library:
        assert library.one(made.id).answer == made.answer
        assert library.one(made.id).row.seq == 1
    assert findings(path) == []


async def test_opted_out_content_leaves_no_trace(tmp_path: Path) -> None:
    """What a client asked not to keep is in no table, no index and no log."""
    path = tmp_path / "a.db"
    canary = "CANARY-opt-out"
    made = exchange(
        chat(("user", canary)), text=canary, content_kept=False, error=canary.encode(),
        error_path=canary, prompt_preview=canary, answer_preview=canary,
    )  # fmt: skip
    begun = msgspec.structs.replace(made, state="open", answer=b"")
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(made.id)
        recorder.note(Progress(exchange=begun, part=canary.encode(), at_byte=0))
        await recorder.keep(made)
        assert len(names(tmp_path)) == 6
        assert names(tmp_path, canary.encode()) == []
    with open_library(path) as library:
        kept = library.one(made.id)
    assert (kept.request, kept.answer, kept.request_sha256) == (b"", b"", b"")
    assert kept.row.answer_size == made.answer_size
    assert rows(path, "SELECT answer_keys, messages_node FROM exchanges") == [
        (None, None)
    ]
    assert findings(path) == []


async def test_a_dropped_exchange_is_counted(tmp_path: Path) -> None:
    async with Recorder.open(tmp_path / "a.db", clock=clock) as recorder:
        recorder.accept("ex_1")
        recorder.drop("ex_1", "hold_timeout")
        assert recorder.counters.unrecorded == {"hold_timeout": 1}
        assert recorder.counters.balanced


async def test_a_clean_end_accounts_for_all(tmp_path: Path) -> None:
    """P3: accepted is complete, incomplete, unrecorded and in flight, always."""
    path = tmp_path / "a.db"
    open_one = exchange(state="open", answer=b"", answer_keys=())
    async with Recorder.open(path, clock=clock) as recorder:
        cut = exchange(state="incomplete", reason="upstream_truncated")
        recorder.accept(open_one.id)
        recorder.note(Progress(exchange=open_one, part=b"so far", at_byte=0))
        recorder.accept("ex_never")
        await keep(recorder, exchange(), cut)
        assert recorder.counters.in_flight == 2
        assert recorder.counters.balanced
    counters = recorder.counters
    assert counters.incomplete == {"upstream_truncated": 1, "proxy_shutdown": 1}
    assert counters.unrecorded == {"never_ended": 1}
    assert counters.balanced
    with open_library(path) as library:
        totals = library.totals()
        assert library.one(open_one.id).answer == b"so far"
    assert (totals.accepted, totals.complete, totals.incomplete) == (4, 1, 2)
    assert (totals.unrecorded, totals.lost, totals.in_flight) == (1, 0, 0)
    assert totals.balanced
    assert findings(path) == []


def trouble(recorder: Recorder, sql: str) -> None:
    """Run this on the recorder's own connection, before its next batch."""
    connection = recorder._commits._connection
    assert connection is not None
    connection._tx.put_nowait((None, lambda: connection._conn.execute(sql)))


async def test_f10_a_full_disk_once_is_overcome_on_a_fresh_connection(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
        trouble(recorder, "PRAGMA max_page_count = 1")  # real SQLITE_FULL from here on
        big = [exchange(chat(("user", "x" * 50_000 + str(n)))) for n in range(3)]
        big = [
            msgspec.structs.replace(one, answer=bytes(range(256)) * 200) for one in big
        ]
        assert await keep(recorder, *big) == [True] * 3
        assert recorder.counters.complete == 4
    assert rows(path, "SELECT max(seq), count(*) FROM exchanges") == [(4, 4)]


async def test_a_commit_that_took_place_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        writer = recorder._commits._writer
        assert writer is not None
        commit = writer._commit

        def commit_and_fail(rows: _Rows, tally: Tally) -> None:
            commit(rows, tally)
            raise sqlite3.OperationalError("disk I/O error")

        writer._commit = commit_and_fail  # type: ignore[method-assign]  # breaks it
        made = exchange()
        assert await keep(recorder, made) == [True]
        assert await keep(recorder, exchange()) == [True]
    assert rows(path, "SELECT count(*), max(seq) FROM exchanges") == [(2, 2)]
    assert recorder.counters.balanced


async def test_a_poisoned_exchange_fails_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    poisoned = exchange(model_asked="\ud800")  # no text column takes it
    huge = exchange(retry_count=2**80)
    async with Recorder.open(path, clock=clock) as recorder:
        results = await keep(
            recorder, exchange(), poisoned, exchange(), huge, exchange()
        )
        assert [isinstance(result, StorageFailed) for result in results] == [
            False, True, False, True, False,
        ]  # fmt: skip
        assert recorder.counters.unrecorded == {"rejected": 2}
        assert recorder.counters.balanced
        assert await keep(recorder, exchange()) == [True]
    assert rows(path, "SELECT max(seq), count(*) FROM exchanges") == [(4, 4)]
    assert findings(path) == []


async def test_an_id_kept_twice_does_not_replace_the_first(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made = exchange()
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, made)
        again = msgspec.structs.replace(made, status=500)
        results = await keep(recorder, again)
        assert isinstance(results[0], StorageFailed)
    assert rows(path, "SELECT status FROM exchanges") == [(200,)]


async def record_with_a_broken_writer(path: Path) -> None:
    async def broken(*_: object, **__: object) -> list[Outcome]:
        raise RuntimeError("broken")

    async with Recorder.open(path, clock=clock) as recorder:
        recorder._commits.write = broken  # type: ignore[method-assign]  # breaks it
        first = await keep(recorder, exchange())
        assert isinstance(first[0], StorageFailed)
        later = await keep(recorder, exchange())
        assert isinstance(later[0], StorageFailed)
        recorder.note(Progress(exchange=exchange(state="open"), part=b"", at_byte=0))
        await recorder.room()
        assert recorder.failing
        assert recorder.counters.unrecorded == {"recorder_stopped": 2}
        assert recorder.counters.balanced


async def test_nobody_waits_for_a_writer_that_died(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        await record_with_a_broken_writer(tmp_path / "a.db")


async def test_a_second_recorder_on_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock):
        with pytest.raises(DatabaseInUse, match="is in use by process"):
            async with Recorder.open(path, clock=clock):
                pass
    async with Recorder.open(path, clock=clock) as recorder:
        assert recorder.report.unclean_epochs == 0


async def test_closing_leaves_no_log_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange())
    assert names(tmp_path) == ["a.db", "a.db.owner"]
    assert rows(path, "SELECT clean FROM epochs") == [(1,)]


async def test_an_idle_recorder_copies_its_log_back(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        made = exchange()
        await keep(recorder, made)
        await recorder._commits.rest()
        log = path.with_name("a.db-wal")
        log.rename(tmp_path / "aside")  # the file alone must have it by now
        alone = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
        assert alone.execute("SELECT id FROM exchanges").fetchall() == [(made.id,)]
        alone.close()
        (tmp_path / "aside").rename(log)


async def test_a_long_log_is_copied_and_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.commits.CHECKPOINT_BYTES", 100_000)
    monkeypatch.setattr("storage.commits.TRUNCATE_BYTES", 400_000)
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        recorder._commits._truncate_at_bytes = 400_000
        sizes = []
        for _ in range(10):
            body = bytes(range(256)) * 1000
            await keep(recorder, exchange(answer=body, answer_size=len(body)))
            await recorder.room()
            sizes.append(path.with_name("a.db-wal").stat().st_size)
        assert max(sizes) < 2_000_000
