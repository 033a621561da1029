"""What is masked before it is kept is in the accounts all the while (P3)."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_upstream import DONE, STREAMED, RawRequest, Wire, delta
from tests.wire.scene import CHAT_PATH, Scene, chunk, data_until, scene, to_the_end

pytestmark = pytest.mark.anyio

RULES = ({"name": "digit", "pattern": "[0-9]"},)
SAID = delta("one 1"), delta("two 2", "stop")


async def answered(_: RawRequest, wire: Wire) -> None:
    await wire.events(*SAID, DONE)


async def slowly(_: RawRequest, wire: Wire) -> None:
    await wire.events(SAID[0], end=False)
    for _again in range(30):
        await asyncio.sleep(0.02)
        await wire.send(chunk(SAID[0]))
    await wire.send(chunk(SAID[1] + DONE) + b"0\r\n\r\n")


class Counted(ThreadPoolExecutor):
    """Threads that tell how often they were given something to do."""

    given = 0

    def submit(self, *args: Any, **named: Any) -> Future[Any]:
        """Count, and do it."""
        self.given += 1
        return super().submit(*args, **named)


def threads_taken() -> threading.Event:
    """Let the loop's threads begin with nothing until the event is set."""
    freed = threading.Event()
    pool = ThreadPoolExecutor(1)  # the loop ends it
    asyncio.get_running_loop().set_default_executor(pool)
    pool.submit(freed.wait, 30)
    return freed


async def some_time(at: Scene) -> None:
    """Let more than a few hundredths of a second pass, in which others are served."""
    for _ in range(30):
        assert (await at.accounts()).in_flight == 1


async def test_p3_masking_that_outlasts_the_hold_is_kept_all_the_same(
    tmp_path: Path,
) -> None:
    async with (
        scene(tmp_path, answered, redact=RULES, hold_timeout_s=0.01) as at,
        at.client() as client,
    ):
        freed = threads_taken()
        await client.post(CHAT_PATH, STREAMED, "Connection: close")
        await client.head()
        await data_until(client, SAID[-1])
        await some_time(at)
        freed.set()
        await to_the_end(client)
        kept = await at.one()
    assert kept.row.state == "complete"
    assert b"two *" in kept.answer


async def test_p3_a_stop_while_masking_keeps_it_masked(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, answered, redact=RULES, drain_s=0) as at,
        at.client() as client,
    ):
        freed = threads_taken()
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        await data_until(client, SAID[-1])
        await some_time(at)
        at.proxy.stop()
        await to_the_end(client)
        freed.set()
    (kept,) = at.kept()
    assert ("incomplete", "proxy_shutdown") == (kept.row.state, kept.row.reason)
    assert b"two *" in kept.answer


async def test_a_long_stream_is_masked_in_a_thread_and_not_each_time_it_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.forward.SAVE_EVERY_S", 0.01)
    async with (
        scene(tmp_path, slowly, redact=RULES) as at,
        at.client() as client,
    ):
        threads = Counted(1)
        asyncio.get_running_loop().set_default_executor(threads)
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        await data_until(client, SAID[-1] + DONE)
        kept = await at.one()
        assert 2 <= threads.given <= 4  # noted before and after its head, and ended
    assert b"one *" in kept.answer
