"""Notes of what runs long: what they leave in the file, and what they must not."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from storage.recorder import Recorder
from storage.records import Progress
from tests.storage.make import clock, exchange
from tests.storage.test_recorder import keep, rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("apart", [False, True])
async def test_a_note_that_comes_too_late_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, apart: bool
) -> None:
    path = tmp_path / "a.db"
    made = exchange()
    late = Progress(exchange=msgspec.structs.replace(made, state="open"), part=b"late")
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
