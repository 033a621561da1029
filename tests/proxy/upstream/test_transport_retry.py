"""When a request is sent once more, and that it otherwise never is."""

import pytest

from proxy.upstream.errors import (
    UpstreamGone,
    UpstreamTruncated,
)
from tests.proxy.upstream.sending import bare, body_of, exchange, post, transport
from tests.proxy.upstream.wire import OK, Peer, Script, upstream

pytestmark = pytest.mark.anyio


async def test_h80_an_end_that_the_loop_has_not_seen_is_noticed_before_reuse() -> None:
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await peer.request()
        await peer.send(OK)
        await peer.ended()

    async with upstream(script) as server, transport() as through:
        for _ in range(20):
            response = await through.handle_async_request(post(server.url))
            assert await body_of(response) == b"ok"
            peers[-1].shut()
        assert server.connection_count == 20


def closing_on_second(*, answer_bytes: bytes = b"", reset: bool = False) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number > 1:
            await peer.send(OK)
            return
        await peer.send(OK)
        await peer.request()
        await peer.send(answer_bytes)
        if reset:
            peer.reset()

    return script


@pytest.mark.parametrize("reset", [False, True])
async def test_h80_a_get_on_a_reused_connection_is_sent_once_more(
    *, reset: bool
) -> None:
    async with (
        upstream(closing_on_second(reset=reset)) as server,
        transport() as through,
    ):
        await exchange(through, bare("GET", server.url))
        assert (await exchange(through, bare("GET", server.url)))[1] == b"ok"
        assert server.connection_count == 2


async def test_h80_a_post_is_never_sent_again() -> None:
    async with (
        upstream(closing_on_second()) as server,
        transport() as through,
    ):
        await exchange(through, post(server.url))
        with pytest.raises(UpstreamGone) as caught:
            await exchange(through, post(server.url))
        assert (caught.value.contacted, caught.value.status_hint) == ("unknown", 502)
        assert server.connection_count == 1


async def test_h80_an_answer_that_began_is_never_asked_for_again() -> None:
    async with (
        upstream(closing_on_second(answer_bytes=b"HTTP")) as server,
        transport() as through,
    ):
        await exchange(through, bare("GET", server.url))
        with pytest.raises(UpstreamTruncated):
            await exchange(through, bare("GET", server.url))
        assert server.connection_count == 1


async def test_h80_a_first_use_is_never_repeated_and_a_repeat_happens_once() -> None:
    async def refusing(peer: Peer) -> None:
        await peer.request()

    async def after_one(peer: Peer) -> None:
        await peer.request()
        if peer.number == 1:
            await peer.send(OK)
            await peer.request()

    async with upstream(refusing) as server, transport() as through:
        with pytest.raises(UpstreamGone):
            await exchange(through, bare("GET", server.url))
        assert server.connection_count == 1
    async with upstream(after_one) as server, transport() as through:
        await exchange(through, bare("GET", server.url))
        with pytest.raises(UpstreamGone):
            await exchange(through, bare("GET", server.url))
        assert server.connection_count == 2
