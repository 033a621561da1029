"""The end of an answer is held until its exchange is on disk (D1, P2, F-13, F-17)."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.living import RawClient
from tests.locking import locked
from tests.scripted_upstream import (
    CHAT,
    DONE,
    SSE_HEAD,
    STREAMED,
    RawRequest,
    Script,
    Wire,
    completion,
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

BODY = completion("x" * 50_000)
SPLIT_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


async def streaming(_: RawRequest, wire: Wire) -> None:
    await wire.send(SSE_HEAD)
    for event in (delta("one"), delta("two", "stop"), DONE):
        await wire.send(chunk(event))
    await wire.send(b"0\r\n\r\n")


async def plainly(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def in_two(_: RawRequest, wire: Wire) -> None:
    await wire.send(SPLIT_HEAD % len(BODY) + BODY[:20_000])
    await asyncio.sleep(0)
    await wire.send(BODY[20_000:])


async def nothing_comes(at: Scene, client: RawClient) -> None:
    """Check that nothing comes while other requests are served."""
    reading = asyncio.get_running_loop().create_task(client.reader.read(1))
    for _ in range(5):
        assert (await at.accounts()).in_flight == 1
        assert not reading.done(), await reading
    reading.cancel()
    await asyncio.wait((reading,))


async def test_d1_tokens_flow_and_the_terminal_event_waits_for_the_commit(
    tmp_path: Path,
) -> None:
    async with (
        scene(tmp_path, streaming, hold_timeout_s=60) as at,
        at.client() as client,
    ):
        with locked(at.db):
            await client.post(CHAT_PATH, STREAMED)
            await client.head()
            await data_until(client, delta("two", "stop"))
            await at.something_waits()
            await nothing_comes(at, client)
            assert [] == at.kept()
        assert DONE == await data_until(client, DONE)
        (kept,) = at.kept()  # it is on disk when its end is seen
    assert "complete" == kept.row.state


@pytest.mark.parametrize(("script", "whole"), [(plainly, completion()), (in_two, BODY)])
async def test_d1_the_last_bytes_of_a_plain_answer_wait_for_the_commit(
    tmp_path: Path, script: Script, whole: bytes
) -> None:
    async def read_all(client: RawClient) -> bytes:
        _, headers = await client.head()
        return await client.body(headers)

    async with (
        scene(tmp_path, script, hold_timeout_s=60) as at,
        at.client() as client,
        asyncio.TaskGroup() as tasks,
    ):
        with locked(at.db):
            await client.post(CHAT_PATH, CHAT)
            reading = tasks.create_task(read_all(client))
            await at.something_waits()
            for _ in range(5):
                assert 1 == (await at.accounts()).in_flight
                assert not reading.done()
            assert [] == at.kept()
        assert whole == await reading
        (kept,) = at.kept()
    assert "complete" == kept.row.state


@pytest.mark.parametrize("body", [CHAT, STREAMED], ids=["plain", "streamed"])
async def test_f13_d2_after_the_hold_timeout_the_answer_is_released_and_says_so(
    tmp_path: Path, body: bytes
) -> None:
    script = plainly if body is CHAT else streaming
    async with (
        scene(tmp_path, script, hold_timeout_s=0.05) as at,
        at.client() as client,
    ):
        with locked(at.db):
            await client.post(CHAT_PATH, body)
            status, headers = await client.head()
            await client.body(headers)
            assert [] == at.kept()
            assert (await at.accounts()).balanced
        await at.settled()
        accounts = await at.accounts()
    assert 200 == status
    # A stream's head was out before anybody could know.
    assert ("no" if body is CHAT else "yes") == headers["x-spiritsafe-recorded"]
    assert accounts.balanced
    assert 1 == accounts.complete + sum(accounts.unrecorded.values())


async def test_d1_relaxed_waits_for_nothing(tmp_path: Path) -> None:
    async with (
        scene(tmp_path, plainly, durability="relaxed", hold_timeout_s=60) as at,
        at.client() as client,
    ):
        with locked(at.db):
            for _ in range(3):
                await client.post(CHAT_PATH, CHAT)
                _, headers = await client.head()
                assert completion() == await client.body(headers)
                assert "yes" == headers["x-spiritsafe-recorded"]
            assert [] == at.kept()
        assert 3 == len(await at.settled())


async def test_f17_nothing_is_lost_to_a_foreign_lock_longer_than_sqlite_waits(
    tmp_path: Path,
) -> None:
    """Somebody's long transaction delays commits; it costs no exchange."""
    async with (
        scene(tmp_path, plainly, hold_timeout_s=0.01) as at,
        at.client() as client,
    ):
        with locked(at.db):
            until_s = time.monotonic() + 2.5  # more than busy timeout and its repeat
            asked = 0
            while time.monotonic() < until_s:
                await client.post(CHAT_PATH, CHAT)
                _, headers = await client.head()
                await client.body(headers)
                asked += 1
            await client.send(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            ready, headers = await client.head()
            await client.body(headers)
        kept = await at.settled()
        accounts = await at.accounts()
    assert 503 == ready
    assert {} == accounts.unrecorded
    assert asked == len(kept) == accounts.complete


async def test_h22_an_unrecorded_broken_stream_is_cut_all_the_same(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(SSE_HEAD, chunk(delta("one")))
        wire.reset()

    async with (
        scene(tmp_path, script, hold_timeout_s=0.05) as at,
        at.client() as client,
    ):
        with locked(at.db):
            await client.post(CHAT_PATH, STREAMED)
            await client.head()
            _, ended = dechunked((await to_the_end(client))[0])
        await at.settled()
    assert not ended
