"""Capture from outside: what upstream gets, what the client gets, what is kept."""

import asyncio
import json
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.passage import Clock
from storage.assemble import Kept
from storage.reading import open_library
from tests.living import RawClient, living_proxy
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio


def kept_in(db: Path) -> list[Kept]:
    """Return every exchange of a file, oldest first."""
    with open_library(db) as library:
        return [library.whole(row) for row in library.rows()]


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def test_a_plain_call_is_edited_relayed_and_kept(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(db, upstream.url, tags={"env": "test"}) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", CHAT, "Authorization: Bearer sk-1")
        status, headers = await client.head()
        body = await client.body(headers)
        assert completion() == body
        assert 200 == status
        assert "yes" == headers["x-spiritsafe-recorded"]
        (kept,) = kept_in(db)  # committed before the client saw the end
    (asked,) = upstream.requests
    assert {"store": True, "metadata": {"env": "test"}} | json.loads(CHAT) == asked.json
    assert "identity" == asked.headers["accept-encoding"]
    assert "Bearer sk-1" == asked.headers["authorization"]
    assert CHAT == kept.request
    assert body == kept.answer
    assert "complete" == kept.row.state
    assert headers["x-spiritsafe-id"] == kept.row.id
    assert {"env": "test"} == kept.row.tags
    assert 4 == (kept.row.prompt_tokens or 0) + (kept.row.completion_tokens or 0)


async def test_a_stream_is_relayed_event_by_event_and_its_end_held(
    tmp_path: Path,
) -> None:
    """Each event arrives while the upstream still waits; `[DONE]` after the commit."""
    db = tmp_path / "s.db"
    seen = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("one"), end=False)
        await seen.wait()
        for event in (delta("two", "stop"), DONE):
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await wire.send(b"0\r\n\r\n")

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", STREAMED)
        _, headers = await client.head()
        first = await client.reader.readuntil(b"\n\n\r\n")
        assert delta("one") in first
        seen.set()
        until_end = await client.reader.readuntil(DONE)
        assert delta("two", "stop") in until_end
        (kept,) = kept_in(db)
    assert delta("one") + delta("two", "stop") + DONE == kept.answer
    assert "complete" == kept.row.state
    assert "stop" == kept.row.finish_reason
    assert "onetwo" == kept.row.answer_preview
    assert headers["content-type"].startswith("text/event-stream")


async def test_what_the_upstream_takes_is_not_the_proxy_s_own_time(
    tmp_path: Path,
) -> None:
    """The clock stands still, except for a minute that the upstream thinks."""
    db = tmp_path / "s.db"
    now_ns = 0

    async def script(request: RawRequest, wire: Wire) -> None:
        nonlocal now_ns
        if b"stream" not in request.body:
            now_ns += 60_000_000_000
            wire.reset()
            return
        await wire.events(delta("one"), end=False)
        now_ns += 60_000_000_000
        rest = delta("two", "stop") + DONE
        await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url, clock=Clock(now_ns=lambda: now_ns)) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        for body in (STREAMED, CHAT):
            await client.post("/v1/chat/completions", body)
            _, headers = await client.head()
            await client.body(headers)
    assert [0, 0] == [kept.row.own_us for kept in kept_in(db)]


async def test_a_slow_refusal_leaves_no_trace_in_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was saved before the refusal told of edits that were then not sent."""
    monkeypatch.setattr("proxy.forward.SAVE_EVERY_S", 0.01)
    db = tmp_path / "s.db"

    async def script(request: RawRequest, wire: Wire) -> None:
        if "store" not in request.json:
            await wire.answer(completion())
            return
        async with asyncio.timeout(30):
            while not kept_in(db):  # noqa: ASYNC110  a file has no event
                await asyncio.sleep(0.01)
        error = {"message": "Unknown parameter: 'store'.", "param": "store"}
        await wire.answer(json.dumps({"error": error}).encode(), status=400)

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", CHAT)
        _, headers = await client.head()
        assert completion() == await client.body(headers)
        (kept,) = kept_in(db)
    assert CHAT == upstream.requests[-1].body
    assert sha256(CHAT).digest() == kept.sent_sha256
    assert ["accept-encoding"] == [edit.member for edit in kept.edits]


async def test_nothing_is_noted_of_an_exchange_that_was_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A note behind the final record would open a second row under the same id."""
    monkeypatch.setattr("proxy.forward.SAVE_EVERY_S", 0.01)
    db = tmp_path / "s.db"
    locked = asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("one"), end=False)
        await locked.wait()
        for event in (delta("two", "stop"), DONE):
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await wire.send(b"0\r\n\r\n")

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url, hold_timeout_s=30) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", STREAMED)
        await client.head()
        async with asyncio.timeout(30):
            while not kept_in(db):  # noqa: ASYNC110  a file has no event
                await asyncio.sleep(0.01)
        blocker = sqlite3.connect(db, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")  # a foreign writer: SQLITE_BUSY
        locked.set()
        await client.reader.readuntil(delta("two", "stop"))
        await asyncio.sleep(0.2)  # time for many notes, were there any
        blocker.close()
        await client.reader.readuntil(DONE)
        (kept,) = kept_in(db)
    errors = [one for one in caplog.records if one.levelname == "ERROR"]
    assert [] == errors
    assert "complete" == kept.row.state
    assert delta("one") + delta("two", "stop") + DONE == kept.answer
