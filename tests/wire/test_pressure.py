"""Memory stays bounded: slow readers, a stuck disk, bodies over their limits (H-74)."""

import asyncio
import hashlib
import json
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
    Wire,
    completion,
    delta,
)
from tests.wire.scene import (
    CHAT_PATH,
    Scene,
    chunk,
    dechunked,
    narrow,
    scene,
    to_the_end,
)

pytestmark = pytest.mark.anyio

EVENT = delta("x" * 60_000)


class Flood:
    """Streams events without end until told to stop; counts what it could send."""

    def __init__(self, events: int) -> None:
        self.sent = 0
        self._events = events

    async def __call__(self, _: RawRequest, wire: Wire) -> None:
        wire.writer.transport.set_write_buffer_limits(high=0)
        await wire.send(SSE_HEAD)
        for _event in range(self._events):
            await wire.send(chunk(EVENT))
            self.sent += 1
        await wire.send(chunk(delta("", "stop") + DONE) + b"0\r\n\r\n")


async def stalled(at: Scene, flood: Flood) -> int:
    """Wait until the flood stands still while others are served; return its height."""
    height, still = -1, 0
    while still < 30:
        still = still + 1 if flood.sent == height > 0 else 0
        height = flood.sent
        assert (await at.accounts()).balanced
    return height


async def test_h74_a_client_that_does_not_read_pauses_the_upstream(
    tmp_path: Path,
) -> None:
    events = 600  # 36 MB; the kernel's buffers on loopback hold some of them
    flood = Flood(events)
    async with scene(tmp_path, flood) as at:
        reader, writer = await asyncio.open_connection(sock=narrow(at.proxy.port))
        client = RawClient(reader, writer)
        await client.post(CHAT_PATH, STREAMED)
        height = await stalled(at, flood)
        assert height < events * 2 / 3
        _, headers = await client.head()
        body = await client.body(headers)
        writer.close()
        kept = await at.one()
    assert EVENT * events + delta("", "stop") + DONE == body
    assert hashlib.sha256(body).digest() == kept.answer_sha256


async def test_a_full_recorder_pauses_reading_and_loses_nothing(tmp_path: Path) -> None:
    """Above `max_queue_bytes` the upstream is read no further until the disk is back."""
    events = 600
    flood = Flood(events)

    async def script(request: RawRequest, wire: Wire) -> None:
        if request.json.get("stream"):
            await flood(request, wire)
        else:
            await wire.answer(completion())

    async with (
        scene(tmp_path, script, max_queue_bytes=1, hold_timeout_s=60) as at,
        at.client() as client,
        at.client() as other,
        asyncio.TaskGroup() as tasks,
    ):
        with locked(at.db):
            await other.post(CHAT_PATH, CHAT)  # fills the queue
            await at.something_waits()
            await client.post(CHAT_PATH, STREAMED)
            _, headers = await client.head()
            reading = tasks.create_task(client.body(headers))  # no slow reader this
            height = await stalled(at, flood)
            assert height < events * 2 / 3
        body = await reading
        kept = await at.settled()
        accounts = await at.accounts()
    assert EVENT * events + delta("", "stop") + DONE == body
    assert {} == accounts.unrecorded
    assert ["complete", "complete"] == [one.row.state for one in kept]
    assert hashlib.sha256(body).digest() in {one.answer_sha256 for one in kept}


@pytest.mark.parametrize("durability", ["durable", "relaxed"])
async def test_what_finds_no_room_in_time_is_released_and_counted(
    tmp_path: Path, durability: str
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion())

    async with (
        scene(
            *(tmp_path, script),
            durability=durability,
            max_queue_bytes=1,
            hold_timeout_s=0.05,
        ) as at,
        at.client() as client,
    ):
        with locked(at.db):
            for number in range(3):
                await client.post(CHAT_PATH, CHAT)
                _, headers = await client.head()
                assert completion() == await client.body(headers)
                queued = durability == "relaxed" and not number
                told = "yes" if queued else "no"
                assert told == headers["x-spiritsafe-recorded"]
            accounts = await at.accounts()
            assert accounts.balanced
        kept = await at.settled()
    assert {"queue_full": 2} == accounts.unrecorded
    assert 1 == len(kept)


@pytest.mark.parametrize("body", [CHAT, STREAMED], ids=["plain", "streamed"])
@pytest.mark.parametrize("most", [1, 1000, 60_000])
async def test_an_answer_over_its_limit_passes_whole_and_a_prefix_is_kept(
    tmp_path: Path, body: bytes, most: int
) -> None:
    whole = completion("x" * 200_000)

    async def script(_: RawRequest, wire: Wire) -> None:
        if body is CHAT:
            await wire.answer(whole)
        else:
            await wire.send(SSE_HEAD)
            for at in range(0, len(streamed), 10_000):
                await wire.send(chunk(streamed[at : at + 10_000]))
            await wire.send(b"0\r\n\r\n")

    streamed = delta("x" * 200_000, "stop") + DONE
    expected = whole if body is CHAT else streamed
    async with (
        scene(tmp_path, script, max_kept_answer_bytes=most) as at,
        at.client() as client,
    ):
        await client.post(CHAT_PATH, body)
        _, headers = await client.head()
        assert expected == await client.body(headers)
        kept = await at.one()
    assert ("incomplete", "too_large") == (kept.row.state, kept.row.reason)
    assert expected.startswith(kept.answer)
    assert len(kept.answer) <= most
    assert len(expected) == kept.row.answer_size
    assert hashlib.sha256(expected).digest() == kept.answer_sha256
    assert "truncated_record" in kept.flags


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_request_over_its_limit_is_a_413_in_an_envelope(
    tmp_path: Path, framing: str
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion())

    large = CHAT[:-1] + b',"user":"' + b"u" * 2000 + b'"}'
    async with scene(tmp_path, script, max_request_bytes=1000) as at:
        async with at.client() as client:
            if framing == "length":
                await client.post(CHAT_PATH, large)
            else:
                head = f"POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\n".encode()
                head += b"transfer-encoding: chunked\r\n\r\n"
                await client.send(head + chunk(large[:500]) + chunk(large[500:]))
            status, headers = await client.head()
            error = json.loads(await client.body(headers))["error"]
        async with at.client() as client:
            await client.post(CHAT_PATH, CHAT)
            assert 200 == (await client.head())[0]
        kept = await at.settled()
    assert (413, "request_too_large") == (status, error["code"])
    assert "invalid_request_error" == error["type"]
    assert "false" == headers["x-should-retry"]
    assert 1 == len(kept) == len(at.upstream.requests)


async def test_d6_long_answers_at_once_take_no_more_memory_than_there_is(
    tmp_path: Path,
) -> None:
    """Every client gets every byte; of what finds no room a prefix is kept, and said."""
    text = "x" * 700_000
    go = asyncio.Event()

    async def script(request: RawRequest, wire: Wire) -> None:
        await wire.send(SSE_HEAD + chunk(delta(text)))
        if b"wait" in request.body:
            await go.wait()
        await wire.send(chunk(delta("", "stop") + DONE) + b"0\r\n\r\n")

    whole = delta(text) + delta("", "stop") + DONE
    waiting = STREAMED.replace(b"hi", b"wait")
    async with (
        scene(tmp_path, script, max_answers_bytes=2**20) as at,
        at.client() as first,
        at.client() as second,
    ):
        await first.post(CHAT_PATH, waiting, "Connection: close")
        await first.head()
        begun = await first.reader.readexactly(100_000)
        await second.post(CHAT_PATH, STREAMED)
        _, headers = await second.head()
        assert whole == await second.body(headers)
        go.set()
        assert (whole, True) == dechunked(begun + (await to_the_end(first))[0])
        await second.post(CHAT_PATH, STREAMED)
        _, headers = await second.head()
        assert whole == await second.body(headers)
        kept = await at.settled()
    assert ["complete", "incomplete", "complete"] == [it.row.state for it in kept]
    assert "too_large" == kept[1].row.reason
    assert "truncated_record" in kept[1].flags
    assert hashlib.sha256(whole).digest() == kept[1].answer_sha256
    assert whole == kept[2].answer
