"""Recovery: after a kill nothing acknowledged is missing and all is accounted for."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from storage.engines.sqlite import Connection, open_reader
from storage.errors import DatabaseInUse, NotOurDatabase
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Chunk, Progress
from storage.recovery import RecoveryReport
from storage.verify import Finding, verify
from tests.storage.make import clock, exchange

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


def start_child(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that records to this file until it is killed."""
    command = [sys.executable, "-m", "tests.storage.child", str(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


def killed_while_recording(path: Path, lines: int) -> set[str]:
    """Return the ids that a child acknowledged before it was killed."""
    child = start_child(path)
    assert child.stdout is not None
    acked = {child.stdout.readline().decode().strip() for _ in range(lines)}
    child.kill()
    rest, _ = child.communicate()
    whole_lines = rest.decode().split("\n")[:-1]
    return {*acked, *whole_lines} - {""}


async def test_d4_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """After `kill -9` every pair whose end a client saw is present and intact."""
    for lines in (1, 40, 200):
        path = tmp_path / f"{lines}.db"
        acked = await asyncio.to_thread(killed_while_recording, path, lines)
        async with Recorder.open(path, clock=clock) as recorder:
            report = recorder.report
        assert len(acked) >= lines
        assert report.unclean_epochs == 1
        with open_library(path) as library:
            complete = {row.id for row in library.rows() if row.state == "complete"}
            crashed = [row for row in library.rows() if row.reason == "proxy_crashed"]
            assert all(library.whole(row).answer == b"so far" for row in crashed)
            totals = library.totals()
            wrong = [step for step in verify(library) if isinstance(step, Finding)]
        assert acked <= complete
        assert report.crashed > 0
        assert totals.balanced
        assert totals.in_flight == 0
        assert totals.incomplete == len(crashed)
        assert wrong == []


async def leave_unclean(path: Path) -> str:
    """Record in a run whose end is never written, as a kill leaves it."""
    begun = exchange(state="open", answer=b"", answer_keys=(), ended_at=None)
    async with Recorder.open(path, clock=clock) as recorder:
        done = exchange()
        for name in (done.id, begun.id, "ex_lost", "ex_lost_too"):
            recorder.accept(name)
        at_byte = 0
        for number, part in enumerate((b"one ", b"two ", b"three")):
            chunk = Chunk(len(part), 100 * number)
            recorder.note(
                Progress(exchange=begun, part=part, at_byte=at_byte, chunks=(chunk,))
            )
            at_byte += len(part)
        await recorder.keep(done)
        recorder.drop("ex_lost_too", "hold_timeout")
        last = exchange()
        recorder.accept(last.id)
        await recorder.keep(last)
        connection = recorder._commits._connection
        assert connection is not None
        await connection.close()
        recorder._commits._connection = None

        async def never(**_: object) -> list[str] | None:
            return None

        recorder._commits.close = never  # type: ignore[method-assign]  # as killed
    return begun.id


async def test_what_was_open_becomes_incomplete_with_what_had_arrived(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    name = await leave_unclean(path)
    async with Recorder.open(path, clock=clock) as recorder:
        assert recorder.report == RecoveryReport(unclean_epochs=1, crashed=1, lost=1)
    async with Recorder.open(path, clock=clock) as recorder:
        assert recorder.report == RecoveryReport()
    with open_library(path) as library:
        kept = library.one(name)
        totals = library.totals()
        assert [step for step in verify(library) if isinstance(step, Finding)] == []
    assert (kept.row.state, kept.row.reason) == ("incomplete", "proxy_crashed")
    assert kept.answer == b"one two three"
    assert [chunk.after_us for chunk in kept.chunks] == [0, 100, 200]
    assert (totals.accepted, totals.complete, totals.incomplete) == (5, 2, 1)
    assert (totals.unrecorded, totals.lost, totals.in_flight) == (2, 1, 0)
    assert totals.balanced


async def test_a_file_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    child = start_child(path)
    try:
        assert child.stdout is not None
        await asyncio.to_thread(child.stdout.readline)
        with pytest.raises(DatabaseInUse, match=f"in use by process {child.pid}"):
            async with Recorder.open(path, clock=clock):
                pass
    finally:
        child.kill()
        child.communicate()


async def test_a_reader_can_neither_write_nor_reset_the_log(tmp_path: Path) -> None:
    """Fact 10: a read-only connection resets the log unless it is forbidden to."""
    path = tmp_path / "a.db"
    connection = await Connection.open(path)
    reader = open_reader(path)
    for mode in ("PASSIVE", "TRUNCATE"):
        with pytest.raises(sqlite3.DatabaseError, match="not authorized"):
            reader.execute(f"PRAGMA wal_checkpoint({mode})")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM epochs")
    reader.close()
    await connection.close()


async def test_a_reader_waits_for_the_tables(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(NotOurDatabase, match="start the recorder"):
        open_reader(tmp_path / "empty.db")
