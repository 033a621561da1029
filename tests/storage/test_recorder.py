"""The recorder: what it says is on disk is on disk, and all is accounted for."""

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from storage.errors import StorageFailed
from storage.recorder import Recorder
from tests.storage.make import clock, exchange

pytestmark = pytest.mark.anyio


async def test_a_kept_exchange_is_in_the_file_when_keep_returns(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        made = exchange()
        recorder.accept(made.id)
        assert await recorder.keep(made)
        reader = sqlite3.connect(path)
        assert reader.execute("SELECT id FROM exchanges").fetchall() == [(made.id,)]
        reader.close()
        assert recorder.counters.complete == 1
        assert recorder.counters.balanced
