"""Runs the index beside the recorder, and lets the recorder write what it asks for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.said import said
from storage.index.again import Change
from storage.index.behind import Behind
from storage.recorder import Recorder


@asynccontextmanager
async def indexing(db: Path, recorder: Recorder) -> AsyncIterator[Behind]:
    """Keep the index of a recorder's file up to date until the exit."""
    loop = asyncio.get_running_loop()

    def settle(change: Change) -> None:
        asyncio.run_coroutine_threadsafe(recorder.change(change), loop).result()

    behind = Behind(
        db,
        read=said,
        settle=settle,
        commits=lambda: recorder.batches,
        strained=lambda: recorder.strained,
    )
    await asyncio.to_thread(behind.start)
    try:
        yield behind
    finally:  # in a thread, as the step under way may wait for the recorder
        await asyncio.to_thread(behind.stop)
