"""Relaying: no byte is lost where waiting for a slow client ends early."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from proxy.front.turn import Turn
from proxy.patience import Patience
from proxy.relay import Relay
from storage.recorder import Recorder
from tests.proxy.test_seal import tape
from tests.scripted_upstream import DONE, delta
from tests.storage.make import clock

pytestmark = pytest.mark.anyio


class Read(httpx.AsyncByteStream):
    """A stream of one read."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield delta("the last words", "stop") + DONE


@pytest.mark.parametrize("held", [False, True])
async def test_what_a_slow_client_could_not_take_comes_with_the_end(
    tmp_path: Path, *, held: bool
) -> None:
    written: list[bytes] = []
    full = asyncio.Event()
    taking = False

    async def send(message: Any) -> None:
        if not taking:
            full.set()
            await asyncio.Event().wait()
        written.append(message["body"])

    async def no_head() -> None:
        pass

    made = tape(b"asked", b"asked")
    async with Recorder.open(tmp_path / "a.db", clock=clock) as recorder:
        relay = Relay(cast("Turn", None), send, made, recorder=recorder)
        if held:
            made.max_kept_bytes = 0
            made._allowed_bytes = 0
            relay.hold(no_head)
        async with asyncio.TaskGroup() as tasks:

            async def pass_on() -> None:
                patience = Patience(cast("asyncio.Task[None]", asyncio.current_task()))
                await relay.events(Read(), "chat", now_ns=lambda: 0, patience=patience)

            passing = tasks.create_task(pass_on())
            await full.wait()
            passing.cancel()
        assert relay.terminal
        taking = True
        await relay.release()
    assert [delta("the last words", "stop") + DONE] == written
