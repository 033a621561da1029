"""How requests and answers are framed for clients of every kind."""

import asyncio
from pathlib import Path

import pytest

from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
)
from tests.transparency.standing import standing
from tests.transparency.wire import PLAIN, answer, ask, chat, request, saying, whole

pytestmark = pytest.mark.anyio

TARGETS = [b"/v1/chat/completions", b"/v1/files"]


async def stream(_: RawRequest, wire: Wire) -> None:
    await wire.events(delta("one"), delta("two", "stop"), DONE)


@pytest.mark.parametrize("target", TARGETS)
async def test_an_http_1_0_client_gets_no_chunks_and_the_close(
    tmp_path: Path, target: bytes
) -> None:
    async with standing(tmp_path, stream) as at:
        for lines in ([], [b"connection: keep-alive"]):
            data = request("POST", target, *lines, body=STREAMED, version=b"1.0")
            async with RawClient.connect(at.proxy.port) as client:
                await client.send(data)
                head, _, body = (await client.rest()).partition(b"\r\n\r\n")
            assert b"transfer-encoding" not in head.lower()
            assert b"connection: close" in head.lower()
            assert delta("one") + delta("two", "stop") + DONE == body


async def test_an_http_1_0_client_needs_no_host(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        size = b"content-length: %d\r\n\r\n" % len(CHAT)
        await at.client.send(b"POST /v1/chat/completions HTTP/1.0\r\n" + size + CHAT)
        head, _, body = (await at.client.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert completion() == body
        assert CHAT == at.kept().request


async def test_h26_head_and_bodiless_answers_have_no_body(tmp_path: Path) -> None:
    """The length of a HEAD is kept; the connection serves the next request."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n"
    async with standing(tmp_path, saying(head)) as at:
        got = await ask(at.client, request("HEAD", b"/v1/files/f"))
        assert (200, [b"77"]) == (got.status, got.values(b"content-length"))
        assert at.asked.head.startswith(b"HEAD /v1/files/f ")
        at.upstream.script = saying(b"HTTP/1.1 204 Gone\r\nx-a: b\r\n\r\n")
        for method in ("DELETE", "POST"):
            got = await ask(at.client, request(method, b"/v1/chat/completions"))
            assert (204, [b"b"]) == (got.status, got.values(b"x-a"))
            assert [] == got.values(b"transfer-encoding")
        at.upstream.script = PLAIN
        assert completion() == (await ask(at.client, chat(CHAT))).body


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Sent in one write, captured and relayed, and each with its own body."""

    async def echo(asked: RawRequest, wire: Wire) -> None:
        await wire.answer(asked.body + asked.target)

    async with standing(tmp_path, echo, upstreams={}) as at:
        bodies = [b"[%d]" % number for number in range(12)]
        data = [
            request("POST", TARGETS[number % 2], body=body)
            for number, body in enumerate(bodies)
        ]
        await at.client.send(b"".join(data))
        got = [(await answer(at.client)).body for _ in bodies]
    expected = [body + TARGETS[number % 2] for number, body in enumerate(bodies)]
    assert expected == got


async def test_a_connection_serves_request_after_request(tmp_path: Path) -> None:
    """Also after errors of ours and of the upstream, and on to one upstream connection."""
    async with standing(tmp_path, PLAIN) as at:
        for data, status in [
            (chat(CHAT), 200),
            (chat(CHAT, b"x-spiritsafe-tags: wrong"), 400),
            (request("POST", b"/v1/files", body=b"x"), 200),
            (request("GET", b"/nowhere"), 404),
            (request("GET", b"/healthz"), 200),
            (chat(b"no json"), 200),
        ]:
            assert status == (await ask(at.client, data)).status
        assert 1 == at.upstream.connections


async def test_a_client_that_wants_to_close_is_closed(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, chat(CHAT, b"connection: close"))
        assert completion() == got.body
        assert [b"close"] == got.values(b"connection")
        assert b"" == await at.client.rest()
        assert 1 == at.upstream.connections


@pytest.mark.parametrize("target", TARGETS)
async def test_a_client_that_expects_100_continue_gets_it_once(
    tmp_path: Path, target: bytes
) -> None:
    """Before its body, and the upstream is not asked to wait."""
    head, _, body = request(
        "POST", target, b"Expect: 100-continue", body=CHAT
    ).partition(b"\r\n\r\n")
    async with standing(tmp_path, PLAIN) as at:
        await at.client.send(head + b"\r\n\r\n")
        assert 100 == (await answer(at.client)).status
        await at.client.send(body)
        got = await answer(at.client)
        assert (200, completion()) == (got.status, got.body)
        assert "expect" not in at.asked.headers
        assert at.asked.body.endswith(CHAT[1:])


async def test_a_refused_client_is_not_told_to_continue(tmp_path: Path) -> None:
    lines = [b"expect: 100-continue", b"content-length: 10"]
    async with standing(tmp_path, PLAIN) as at:
        await at.client.send(request("POST", b"/nowhere", *lines))
        assert 404 == (await answer(at.client)).status


async def test_an_answer_that_only_the_close_ends_arrives_whole(
    tmp_path: Path,
) -> None:
    """Chunked for HTTP/1.1, so that its end is seen; kept as complete."""

    async def closing(_: RawRequest, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        await wire.send(completion())
        wire.close()

    async with standing(tmp_path, closing) as at:
        got = await ask(at.client, chat(CHAT))
        assert (200, completion()) == (got.status, got.body)
        assert "complete" == at.kept().row.state
        got = await ask(at.client, request("GET", b"/v1/files"))
        assert completion() == got.body


async def test_statuses_arrive_as_they_are(tmp_path: Path) -> None:
    """Redirects are not followed, odd numbers are not mended (H-29)."""
    lines = [b"location: https://evil.example/", b"retry-after: 7"]
    async with standing(tmp_path, PLAIN) as at:
        for status in (201, 299, 302, 307, 404, 418, 429, 499, 503, 529, 599):
            at.upstream.script = saying(whole(b'{"a":1}', *lines, status=status))
            for target in TARGETS:
                got = await ask(at.client, request("POST", target, body=CHAT))
                assert (status, b'{"a":1}') == (got.status, got.body)
                assert [b"7"] == got.values(b"retry-after")
                assert [] == got.values(b"x-spiritsafe-error")
            assert status == at.kept().row.status
        assert 1 == at.upstream.connections


async def test_a_slow_client_gets_every_byte(tmp_path: Path) -> None:
    """Forty megabytes, more than all buffers on the way hold."""
    body = bytes(range(256)) * 160_000

    async def large(_: RawRequest, wire: Wire) -> None:
        await wire.answer(body, kind="application/octet-stream")

    async with standing(tmp_path, large) as at:
        await at.client.send(request("GET", b"/v1/files/f/content"))
        await asyncio.sleep(0)
        got = await answer(at.client)
        assert body == got.body
