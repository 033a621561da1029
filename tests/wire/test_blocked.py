"""The event loop stands still for seconds, and nothing is lost of what was under way (F-64)."""

import asyncio
import threading
from pathlib import Path

import pytest

from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
)
from tests.wire.scene import CHAT_PATH, scene

pytestmark = pytest.mark.anyio

BLOCKED_S = 1.5  # longer than a second, after which long exchanges are saved


async def test_f64_a_loop_that_stood_still_loses_nothing(tmp_path: Path) -> None:
    """Streams with events in the kernel's buffers, plain answers and new requests."""
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def script(request: RawRequest, wire: Wire) -> None:
        if b"stream" not in request.body:
            await wire.answer(completion())
            return
        await wire.events(delta("one"), end=False)
        waiting.set()
        await go_on.wait()
        rest = delta("two", "stop") + DONE
        await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    async with scene(tmp_path, script) as at, at.client() as stream, at.client() as one:
        await stream.post(CHAT_PATH, STREAMED)
        await stream.head()
        await stream.reader.readuntil(b"one")
        await waiting.wait()
        await one.post(CHAT_PATH, CHAT)  # written, and not yet read by the proxy
        go_on.set()
        threading.Event().wait(BLOCKED_S)  # blocks the loop and everything on it
        assert DONE in await stream.reader.readuntil(DONE)
        status, headers = await one.head()
        assert (200, completion()) == (status, await one.body(headers))
        kept = await at.settled()
        accounts = await at.accounts()
    assert ["complete", "complete"] == [found.row.state for found in kept]
    assert accounts.balanced
