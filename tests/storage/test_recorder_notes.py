"""Notes of what runs long: what they leave in the file, and what they must not."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Chunk, Progress
from storage.safekeeping import Limits
from tests.storage.make import chat, clock, exchange
from tests.storage.test_recorder import findings, keep, rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("apart", [False, True])
async def test_a_note_that_comes_too_late_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, apart: bool
) -> None:
    path = tmp_path / "a.db"
    made = exchange()
    late = Progress(
        exchange=msgspec.structs.replace(made, state="open"), part=b"late", at_byte=0
    )
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(made.id)
        keeping = asyncio.gather(recorder.keep(made))
        await (keeping if apart else asyncio.sleep(0))
        recorder.note(late)
        assert await keep(recorder, exchange()) == [True]
        assert all(await keeping)
    assert rows(path, "SELECT seq, state FROM exchanges") == [
        (1, "complete"),
        (2, "complete"),
    ]
    assert caplog.records == []


async def test_an_answer_with_a_lost_part_ends_before_it(tmp_path: Path) -> None:
    """What is recovered has no silent hole: parts one and three are no answer."""
    path = tmp_path / "a.db"
    begun = exchange(
        state="open", answer=b"", answer_size=0, answer_keys=(), flags=("a",)
    )
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(begun.id)
        for at_byte, part in ((0, b"one "), (8, b"three")):
            chunks = (Chunk(len(part), at_byte),)
            recorder.note(
                Progress(exchange=begun, part=part, at_byte=at_byte, chunks=chunks)
            )
            await keep(recorder, exchange())
        with open_library(path) as library:
            assert library.one(begun.id).answer == b"one "
    with open_library(path) as library:
        kept = library.one(begun.id)
    assert (kept.row.reason, kept.answer) == ("proxy_shutdown", b"one ")
    assert kept.flags == ("a", "truncated_record")
    assert (kept.kept_size, kept.row.answer_size) == (4, 13)
    assert [chunk.size_bytes for chunk in kept.chunks] == [4]
    assert findings(path) == []


async def test_a_note_takes_the_room_of_its_part_alone(tmp_path: Path) -> None:
    """A request of a megabyte that runs a minute is no sixty megabytes."""
    begun = exchange(chat(("user", "x" * 100_000)), state="open", answer=b"")
    async with Recorder.open(
        tmp_path / "a.db", clock=clock, limits=Limits(queue_bytes=1000)
    ) as recorder:
        recorder.accept(begun.id)
        for at_byte in range(3):
            recorder.note(Progress(exchange=begun, part=b"x", at_byte=at_byte))
        assert recorder.counters.queue_bytes == 3
        assert not recorder.full
