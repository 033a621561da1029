"""Clients that leave, all at once or by half (H-72, F-30, L-13)."""

import asyncio
import contextlib
import gc
import random
from pathlib import Path

import pytest

from proxy.upstream.transport import Transport
from tests.living import RawClient
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
from tests.wire.scene import CHAT_PATH, Scene, chunk, data_until, scene, to_the_end

pytestmark = pytest.mark.anyio

WHOLE = delta("one") + delta("two", "stop") + DONE
NEVER_S = 3600


class Slowly:
    """A stream that says one event, waits for `go`, and says the rest."""

    def __init__(self, *, head_first: bool = True) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self._head_first = head_first

    async def __call__(self, _: RawRequest, wire: Wire) -> None:
        self.asked.set()
        if self._head_first:
            await wire.send(SSE_HEAD + chunk(delta("one")))
        await self.go.wait()
        if not self._head_first:
            await wire.send(SSE_HEAD + chunk(delta("one")))
        await wire.send(chunk(delta("two", "stop")), chunk(DONE), b"0\r\n\r\n")


class Watched(Slowly):
    """The same, told when its connection closes before it may go on."""

    def __init__(self, *, head_first: bool = True) -> None:
        super().__init__(head_first=head_first)
        self.closed = asyncio.Event()

    async def __call__(self, request: RawRequest, wire: Wire) -> None:
        await super().__call__(request, wire)

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request, and read on until the end of the connection."""
        await reader.readuntil(b"\r\n\r\n")
        if self._head_first:
            writer.write(SSE_HEAD + chunk(delta("one")))
        self.asked.set()
        try:
            while await reader.read(65536):
                pass
        except ConnectionResetError:
            pass
        self.closed.set()
        writer.close()


async def left(client: RawClient, how: str) -> None:
    if how == "reset":
        client.reset()
    else:
        client.writer.close()


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("head_first", [False, True], ids=["before_head", "mid_stream"])
async def test_h72_an_answer_nobody_waits_for_is_read_to_its_end(
    tmp_path: Path, how: str, *, head_first: bool
) -> None:
    script = Slowly(head_first=head_first)
    async with scene(tmp_path, script) as at:
        async with at.client() as client:
            await client.post(CHAT_PATH, STREAMED)
            await script.asked.wait()
            if head_first:
                await client.head()
                await data_until(client, delta("one"))
            await left(client, how)
        script.go.set()
        kept = await at.one()
    assert (WHOLE, "complete") == (kept.answer, kept.row.state)
    if how == "reset":
        assert "client_left" in kept.flags


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("head_first", [False, True], ids=["before_head", "mid_stream"])
async def test_h72_with_zero_seconds_the_upstream_is_let_go_at_once(
    tmp_path: Path, how: str, *, head_first: bool
) -> None:
    script = Watched(head_first=head_first)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with (
        server,
        scene(
            tmp_path,
            script,
            upstreams={"default": {"url": url}},
            finish_after_client_left_s=0,
        ) as at,
    ):
        async with at.client() as client:
            await client.post(CHAT_PATH, STREAMED)
            await script.asked.wait()
            if head_first:
                await client.head()
                await data_until(client, delta("one"))
            await left(client, how)
        await script.closed.wait()
        kept = await at.one()
    assert ("incomplete", "client_aborted") == (kept.row.state, kept.row.reason)
    assert (delta("one") if head_first else b"") == kept.answer
    assert "client_left" in kept.flags


async def test_h72_reading_on_ends_after_the_seconds_that_are_set(
    tmp_path: Path,
) -> None:
    script = Slowly()
    async with scene(tmp_path, script, finish_after_client_left_s=0.05) as at:
        async with at.client() as client:
            await client.post(CHAT_PATH, STREAMED)
            await client.head()
            client.reset()
        kept = await at.one()
    assert ("incomplete", "client_aborted") == (kept.row.state, kept.row.reason)
    assert delta("one") == kept.answer


async def test_h72_a_client_that_leaves_at_the_terminal_event_changes_nothing(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("one"), delta("two", "stop"), DONE)

    async with scene(tmp_path, script) as at:
        async with at.client() as client:
            await client.post(CHAT_PATH, STREAMED)
            await client.head()
            await data_until(client, DONE)
            client.reset()
        kept = await at.one()
    assert (WHOLE, "complete") == (kept.answer, kept.row.state)


async def test_h72_who_leaves_after_the_terminal_event_prolongs_nothing(
    tmp_path: Path,
) -> None:
    """An upstream that keeps its stream open after `[DONE]` gets a second, not more."""
    said, over = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("one"), delta("two", "stop"), DONE, end=False)
        said.set()
        await over.wait()

    async with scene(tmp_path, script, finish_after_client_left_s=NEVER_S) as at:
        async with at.client() as client:
            await client.post(CHAT_PATH, STREAMED)
            await client.head()
            await data_until(client, delta("two", "stop"))
            await said.wait()
            client.reset()
        kept = await at.one()
        over.set()
    assert (WHOLE, "complete") == (kept.answer, kept.row.state)
    assert {"client_left", "open_end"} <= set(kept.flags)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_h72_a_client_that_closes_its_sending_half_gets_its_answer(
    tmp_path: Path, version: str
) -> None:
    script = Slowly()
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED, version=version)
        client.writer.write_eof()
        await client.head()
        script.go.set()
        raw, how = await to_the_end(client)
        kept = await at.one()
    assert "fin" == how
    assert DONE in raw
    assert ("complete", ()) == (kept.row.state, kept.flags)


async def test_h72_a_client_gone_before_its_body_is_whole_is_never_forwarded(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, Slowly()) as at:
        for _ in range(3):
            async with at.client() as client:
                head = f"POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n"
                await client.send(head.encode() + b"\r\n" + CHAT)
                client.reset()
        accounts = await at.accounts()
    assert ([], 0) == (at.upstream.requests, accounts.accepted)


async def test_h72_a_turn_with_another_behind_it_learns_that_the_client_left(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(SSE_HEAD)
        while not wire.writer.is_closing():
            await wire.send(chunk(delta("one")))

    async with scene(tmp_path, script, finish_after_client_left_s=0) as at:
        async with at.client() as client:
            await client.post(CHAT_PATH, STREAMED)
            await client.post(CHAT_PATH, STREAMED)
            await client.head()
            client.reset()
        kept = await at.one()
    assert "client_left" in kept.flags
    assert "client_aborted" == kept.row.reason


def fits(now: tuple[int, int], before: tuple[int, int]) -> bool:
    """Say whether nothing is left but a connection that `/metrics` was asked on."""
    return now[0] <= before[0] + 1 and now[1] <= before[1] + 2


def counted() -> tuple[int, int]:
    """Return the tasks and sockets of this process, all garbage collected."""
    gc.collect()
    sockets = 0
    for one in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets += str(one.readlink()).startswith("socket:")
    return len(asyncio.all_tasks()), sockets


EVENTS = [delta(str(n)) for n in range(8)]
STORMED = b"".join(EVENTS) + delta("", "stop") + DONE


async def unsteady(_: RawRequest, wire: Wire) -> None:
    """Stream at a pace that differs from stream to stream."""
    dice = random.Random(id(wire))
    await wire.send(SSE_HEAD)
    for event in EVENTS:
        await wire.send(chunk(event))
        for _turn in range(dice.randrange(4)):
            await asyncio.sleep(0)
    await wire.send(chunk(delta("", "stop") + DONE) + b"0\r\n\r\n")


async def one_of_many(at: Scene, cut: int | None) -> bool:
    """Read a stream to its end, or leave with RST at an event; say which."""
    async with at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        if cut is not None:
            if cut:
                await client.head()
                await data_until(client, EVENTS[cut])
            client.reset()
            return False
        _, headers = await client.head()
        return STORMED == await client.body(headers)


@pytest.mark.parametrize("finish_s", [0, 60], ids=["cancel", "finish"])
async def test_f30_l13_a_cancel_storm_leaves_no_task_socket_or_slot(
    tmp_path: Path, finish_s: float
) -> None:
    dice = random.Random(30)
    cuts = [dice.randrange(8) if dice.random() < 0.3 else None for _ in range(300)]
    limits = {"max_connections": 40, "pool_timeout_s": 30, "idle_expiry_s": 0.05}
    async with scene(
        tmp_path, unsteady, limits=limits, finish_after_client_left_s=finish_s
    ) as at:
        await at.accounts()
        transport = at.proxy.app._upstreams["default"].transport
        assert isinstance(transport, Transport)
        before = counted()
        async with asyncio.TaskGroup() as tasks:
            going = [tasks.create_task(one_of_many(at, cut)) for cut in cuts]
        kept = await at.settled()
        while transport.stats().open_count or not fits(counted(), before):
            await at.accounts()  # turns of the loop; the scene's patience ends it
        (pool,) = transport._pools.values()
        accounts = await at.accounts()
    assert cuts.count(None) == sum(task.result() for task in going)
    assert (0, 0, 0) == (pool.slots_used, pool.idle_count, pool.waiting_count)
    assert {} == accounts.unrecorded
    assert cuts.count(None) <= accounts.complete
    assert set(accounts.incomplete) <= {"client_aborted"}
    assert accounts.accepted == len(kept)
    for one in kept:
        assert STORMED.startswith(one.answer)
        assert (one.answer == STORMED) == (one.row.state == "complete")


async def test_h72_a_plain_answer_nobody_waits_for_is_kept(tmp_path: Path) -> None:
    go, asked = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        asked.set()
        await go.wait()
        await wire.answer(completion())

    async with scene(tmp_path, script) as at:
        async with at.client() as client:
            await client.post(CHAT_PATH, CHAT)
            await asked.wait()
            client.reset()
        go.set()
        kept = await at.one()
    assert (completion(), "complete") == (kept.answer, kept.row.state)
