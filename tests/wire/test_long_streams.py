"""What runs longer than a second is in the file while it runs, and after a stop."""

import asyncio
from pathlib import Path

import pytest

from storage.assemble import Kept
from tests.scripted_upstream import (
    DONE,
    SSE_HEAD,
    STREAMED,
    RawRequest,
    Wire,
    delta,
)
from tests.wire.scene import (
    CHAT_PATH,
    Scene,
    chunk,
    data_until,
    dechunked,
    scene,
    to_the_end,
)

pytestmark = pytest.mark.anyio

FIRST = delta("one")
REST = delta("two", "stop") + DONE


class Paused:
    """A stream that pauses after its first event."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, _: RawRequest, wire: Wire) -> None:
        await wire.send(SSE_HEAD + chunk(FIRST))
        await self.go.wait()
        await wire.send(chunk(REST) + b"0\r\n\r\n")


async def shown_open(at: Scene) -> Kept:
    """Wait until the file tells of the exchange that still runs."""
    while not (found := at.kept()):
        await at.accounts()
    (kept,) = found
    return kept


async def test_a_long_stream_is_in_the_file_while_it_runs(tmp_path: Path) -> None:
    script = Paused()
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        await data_until(client, FIRST)
        so_far = await shown_open(at)
        script.go.set()
        assert DONE == (await data_until(client, DONE))[-len(DONE) :]
        (whole,) = at.kept()
    assert ("open", None) == (so_far.row.state, so_far.row.reason)
    assert (FIRST, 200) == (so_far.answer, so_far.row.status)
    assert STREAMED == so_far.request
    assert so_far.row.id == whole.row.id
    assert ("complete", FIRST + REST) == (whole.row.state, whole.answer)
    assert "onetwo" == whole.row.answer_preview


@pytest.mark.parametrize("seen", [False, True], ids=["at_once", "saved_before"])
async def test_f06_a_stop_in_the_middle_keeps_what_was_seen(
    tmp_path: Path, *, seen: bool
) -> None:
    script = Paused()
    async with scene(tmp_path, script, drain_s=0) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        await data_until(client, FIRST)
        if seen:
            await shown_open(at)
        at.proxy.stop()
        raw, _ = await to_the_end(client)
        script.go.set()
    (kept,) = at.kept()
    assert not dechunked(raw)[1]
    assert ("incomplete", "proxy_shutdown") == (kept.row.state, kept.row.reason)
    assert FIRST == kept.answer
    assert "one" == kept.row.answer_preview


async def test_f06_a_stream_that_ends_within_the_drain_is_complete(
    tmp_path: Path,
) -> None:
    script = Paused()
    async with scene(tmp_path, script, drain_s=5) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        _, headers = await client.head()
        await data_until(client, FIRST)
        at.proxy.stop()
        script.go.set()
        assert REST == await client.body(headers)
        assert b"" == await client.rest()
    (kept,) = at.kept()
    assert ("complete", FIRST + REST) == (kept.row.state, kept.answer)
