"""Slots: who waits, who is served first, and that none is ever lost."""

import asyncio
import random
from collections.abc import Callable

import httpx
import pytest

from proxy.upstream.errors import UpstreamConnectFailed, UpstreamPoolTimeout
from proxy.upstream.limits import Limits
from proxy.upstream.transport import Transport
from tests.proxy.upstream.sending import bare, body_of, exchange, own, post, transport
from tests.proxy.upstream.wire import OK, Peer, answering, upstream

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until this holds."""
    while not condition():  # noqa: ASYNC110  counters have no event to wait for
        await asyncio.sleep(0)


async def waiting(through: Transport, count: int) -> None:
    """Let the loop turn until so many requests wait."""
    await until(lambda: through.stats().waiting_count == count)


async def test_h82_a_full_pool_makes_requests_wait_in_order() -> None:
    served: list[bytes] = []
    gates = [asyncio.Event() for _ in range(5)]

    async def script(peer: Peer) -> None:
        while True:
            head = await peer.request()
            served.append(head.split(b" ")[1])
            await gates[len(served) - 1].wait()
            await peer.send(OK)

    limits = Limits(max_connections=1)
    async with upstream(script) as server, transport(limits) as through:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(exchange(through, post(f"{server.url}/{number}")))
                await waiting(through, number)
            for gate in gates:
                gate.set()
        assert served == [b"/0", b"/1", b"/2", b"/3", b"/4"]
        assert server.connection_count == 1
        assert through.stats().reused_total == 4


async def test_h82_a_wait_too_long_fails_with_503_and_leaves_the_pool_sound() -> None:
    gate = asyncio.Event()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(OK)

    limits = Limits(max_connections=1, pool_timeout_s=0.01)
    async with upstream(script) as server, transport(limits) as through:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(exchange(through, post(server.url)))
            await until(lambda: through.stats().open_count == 1)
            with pytest.raises(UpstreamPoolTimeout) as caught:
                await exchange(through, post(server.url))
            gate.set()
        error = caught.value
        assert (error.status_hint, error.contacted) == (503, "no")
        assert first.result()[1] == b"ok"
        assert through.stats().waiting_count == 0
        assert (await exchange(through, post(server.url)))[1] == b"ok"


async def test_h82_a_waiter_gets_the_slot_of_a_connection_that_broke() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await broken.wait()
            peer.reset()
        else:
            await peer.send(OK)

    broken = asyncio.Event()
    limits = Limits(max_connections=1)
    async with upstream(script) as server, transport(limits) as through:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(failing(through, post(server.url)))
            await until(lambda: through.stats().open_count == 1)
            second = group.create_task(exchange(through, post(server.url)))
            await waiting(through, 1)
            broken.set()
        assert (first.result(), second.result()[1]) == ("upstream_gone", b"ok")


async def failing(through: Transport, request: httpx.Request) -> str:
    """Send a request that has to fail, and return the code of its error."""
    with pytest.raises(httpx.TransportError) as caught:
        await exchange(through, request)
    return str(getattr(caught.value, "code", ""))


async def test_a_refused_connection_gives_its_slot_back() -> None:
    async with upstream(answering(OK)) as server:
        closed_port = server.port
    async with transport(Limits(max_connections=1)) as through:
        for _ in range(3):
            with pytest.raises(UpstreamConnectFailed) as caught:
                await exchange(through, post(f"http://127.0.0.1:{closed_port}"))
            assert (caught.value.contacted, caught.value.status_hint) == ("no", 502)
        assert through.stats().opened_total == 0


async def test_the_connection_used_last_is_used_first() -> None:
    ports: list[int] = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            ports.append(peer.number)
            if len(ports) <= 2:
                await gates[len(ports) - 1].wait()
            await peer.send(OK)

    gates = [asyncio.Event(), asyncio.Event()]
    async with upstream(script) as server, transport() as through:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(exchange(through, post(server.url))) for _ in "ab"
            ]
            await until(lambda: len(ports) == 2)
            gates[0].set()
            await until(lambda: any(task.done() for task in tasks))
            gates[1].set()
        await exchange(through, post(server.url))
    assert ports[2] == ports[1]


async def test_idle_connections_expire_by_themselves() -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(OK)
            await peer.ended()
            ended.put_nowait(peer.number)

    limits = Limits(idle_expiry_s=0.01)
    async with upstream(script) as server, transport(limits) as through:
        await asyncio.gather(*[exchange(through, post(server.url)) for _ in range(3)])
        assert {await ended.get() for _ in range(3)} == {1, 2, 3}
        assert through.stats().open_count == 0


async def test_h80_a_repeat_in_a_full_pool_makes_room_for_a_new_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if (await peer.request()).startswith(b"POST"):
            await peer.send(OK)
            await peer.ended()

    limits = Limits(max_connections=2)
    async with upstream(script) as server, transport(limits) as through:
        await asyncio.gather(*[exchange(through, post(server.url)) for _ in "ab"])
        assert through.stats().idle_count == 2
        assert (await exchange(through, bare("GET", server.url)))[1] == b"ok"
        assert (server.connection_count, through.stats().open_count) == (3, 2)


async def test_h80_a_fresh_connection_in_a_full_pool_takes_an_idle_one_s_place() -> (
    None
):
    limits = Limits(max_connections=1)
    async with upstream(answering(OK)) as server, transport(limits) as through:
        await exchange(through, post(server.url))
        (pool,) = through._pools.values()
        connection = await pool.acquire(fresh=True)
        assert (pool.open_count, pool.slots_used, pool.opened_count) == (1, 1, 2)
        connection.close()
        assert (pool.open_count, pool.slots_used) == (0, 0)


async def test_closing_the_transport_wakes_who_waits_for_a_slot() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.ended()

    limits = Limits(max_connections=1)
    async with upstream(script) as server, transport(limits) as through:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(failing(through, post(server.url)))
            await until(lambda: through.stats().open_count == 1)
            second = group.create_task(failing(through, post(server.url)))
            await waiting(through, 1)
            await through.aclose()
        codes = (first.result(), second.result())
        assert codes == ("upstream_gone", "upstream_connect_failed")


async def storm_script(peer: Peer) -> None:
    """Answer in pieces, break now and then, so that cancels meet every state."""
    while True:
        await peer.request()
        await asyncio.sleep(0)
        if peer.number % 7 == 0:
            peer.reset()
            return
        await peer.send(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n")


async def stormy(through: Transport, url: str) -> None:
    """Send one request and read its answer, to be cancelled anywhere."""
    try:
        response = await through.handle_async_request(post(url))
    except httpx.TransportError:
        return
    try:
        await body_of(response)
    except httpx.TransportError:
        return
    finally:
        await own(response).aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_f30_a_cancel_storm_loses_no_slot(seed: int) -> None:
    chance = random.Random(seed)
    limits = Limits(max_connections=10)
    async with upstream(storm_script) as server, transport(limits) as through:
        tasks = [asyncio.create_task(stormy(through, server.url)) for _ in range(400)]  # noqa: TID251  cancelled one by one and all awaited below
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            if chance.random() < 0.7:
                chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert any(task.cancelled() for task in tasks)
        assert not all(task.cancelled() for task in tasks)
        stats = through.stats()
        assert (stats.waiting_count, stats.open_count - stats.idle_count) == (0, 0)
        assert slots_used(through) == 0
        await all_slots_serve(through, server.url)


def slots_used(through: Transport) -> int:
    """Return what the pool holds for requests."""
    return sum(pool.slots_used for pool in through._pools.values())


async def all_slots_serve(through: Transport, url: str) -> None:
    """Hold ten answers open at once: only possible with all ten slots."""

    async def held() -> None:
        for _ in range(50):
            try:
                response = await through.handle_async_request(post(url))
            except httpx.TransportError:
                continue
            async with asyncio.timeout(10):
                await barrier.wait()
            await own(response).aclose()
            return

    barrier = asyncio.Barrier(10)
    await asyncio.gather(*[held() for _ in range(10)])
    assert slots_used(through) == 0


@pytest.mark.parametrize("turns", range(12))
async def test_f65_a_cancel_at_any_turn_of_the_loop_gives_the_slot_back(
    turns: int,
) -> None:
    limits = Limits(max_connections=1)
    async with upstream(storm_script) as server, transport(limits) as through:
        for waits in (False, True):
            tasks = [
                asyncio.create_task(stormy(through, server.url))  # noqa: TID251  cancelled and awaited below
                for _ in range(2 + waits)
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[:2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert slots_used(through) == 0
        await stormy(through, server.url)
        assert slots_used(through) == 0
