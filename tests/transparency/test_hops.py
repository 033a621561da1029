"""Headers both ways, from a raw socket on either side."""

import asyncio
from pathlib import Path

import pytest

from tests.scripted_upstream import CHAT, RawRequest, Wire, completion
from tests.transparency.standing import standing
from tests.transparency.wire import (
    PLAIN,
    answer,
    ask,
    chat,
    pairs_of,
    request,
    saying,
    sent,
    whole,
)

pytestmark = pytest.mark.anyio

FILES = b"/v1/files"
OWN = {b"x-spiritsafe-id", b"x-spiritsafe-recorded", b"server-timing"}
ODD = bytes(byte for byte in range(0x21, 0x100) if byte != 0x7F)

CLIENTS = [
    b"X-First: 1",
    b"authorization: Bearer k",
    b"x-twice: a",
    b"OpenAI-Organization: org",
    b"x-twice: b, c",
    b"x-empty:",
    b"x-odd: " + ODD,
    b"cookie: a=b; c=d",
    b"range: bytes=0-10",
    b'if-none-match: W/"x"',
    b"cache-control: no-transform",
    b"x-inner-space: a \t  b",
    b"content-type: application/json; charset=utf-8",
]
UPSTREAMS = [
    b"Date: Fri, 21 Nov 2025 01:00:00 GMT",
    b"Server: theirs",
    b"Set-Cookie: a=1; Path=/",
    b"X-Twice: 1",
    b"Set-Cookie: b=2; Expires=Fri, 21 Nov 2025 01:00:00 GMT",
    b"set-cookie: c=3",
    b"X-Twice: 2",
    b"x-odd: " + ODD,
    b"cache-control: no-store, no-transform",
    b"x-ratelimit-remaining-requests: 5",
    b'etag: W/"y"',
    b"x-empty: ",
]  # fmt: skip


def parted(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Return pairs as they are compared: names folded, values without their margin."""
    split = (line.partition(b":") for line in lines)
    return [(name.lower(), value.strip(b" \t")) for name, _, value in split]


def folded(head: bytes) -> list[tuple[bytes, bytes]]:
    return parted(head.split(b"\r\n")[1:])


@pytest.mark.parametrize("target", [b"/v1/chat/completions", FILES])
async def test_h37_h38_h42_h68_the_clients_headers_arrive_as_they_were_sent(
    tmp_path: Path, target: bytes
) -> None:
    """Order, duplicates and every byte of a value; only the declared is added."""
    async with standing(tmp_path, PLAIN) as at:
        await ask(at.client, request("POST", target, *CLIENTS, body=CHAT))
        asked, host = at.asked, f"127.0.0.1:{at.upstream.port}".encode()
    captured = target != FILES
    ours = {b"host", b"content-length", b"accept-encoding", b"via"}
    pairs = folded(asked.head)
    assert parted(CLIENTS) == [pair for pair in pairs if pair[0] not in ours]
    assert [host] == sent(asked, b"host")
    assert [b"%d" % len(asked.body)] == sent(asked, b"content-length")
    assert [b"identity"] * captured == sent(asked, b"accept-encoding")
    assert {name for name, _ in pairs} - ours == {name for name, _ in parted(CLIENTS)}


@pytest.mark.parametrize("target", [b"/v1/chat/completions", FILES])
async def test_h37_h38_h42_h68_the_upstreams_headers_arrive_as_they_were_sent(
    tmp_path: Path, target: bytes
) -> None:
    """Date and Server once, three Set-Cookie apart and in order, nothing added but ours."""
    script = saying(whole(completion(), *UPSTREAMS))
    async with standing(tmp_path, script) as at:
        got = await ask(at.client, request("POST", target, body=CHAT))
    theirs = [
        (name, value.strip(b" \t")) for name, value in got.pairs if name not in OWN
    ]
    framing = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(completion())),
    ]
    assert framing + parted(UPSTREAMS) == theirs
    assert 3 == len(got.values(b"set-cookie"))


async def test_h38_date_and_server_are_not_invented(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, chat(CHAT))
        own = await ask(at.client, request("GET", b"/healthz"))
    assert [] == got.values(b"date") == got.values(b"server")
    assert [] == own.values(b"server")


HOPS = [
    b"Connection: x-one ,, X-Two",
    b"x-one: 1",
    b"X-TWO: 2",
    b"connection:\tx-three",
    b"x-three: 3",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic eA==",
    b"TE: gzip",
    b"Trailer: x-sum",
    b'Alt-Svc: h3=":443"',
    b"x-stays: 4",
]  # fmt: skip


@pytest.mark.parametrize("target", [b"/v1/chat/completions", FILES])
async def test_h35_hop_by_hop_headers_end_here_both_ways(
    tmp_path: Path, target: bytes
) -> None:
    script = saying(whole(completion(), *HOPS))
    async with standing(tmp_path, script) as at:
        got = await ask(at.client, request("POST", target, *HOPS, body=CHAT))
        asked = at.asked
    gone = {name for name, _ in parted(HOPS)} - {b"x-stays"}
    assert not gone & {name for name, _ in folded(asked.head)}
    assert not gone & {name.lower() for name, _ in got.pairs}
    assert [b"4"] == sent(asked, b"x-stays") == got.values(b"x-stays")


async def test_h36_connection_cannot_name_our_own_away(tmp_path: Path) -> None:
    named = b"connection: content-length, host, accept-encoding, x-spiritsafe-id"
    script = saying(whole(completion(), named))
    async with standing(tmp_path, script, tags={"a": "b"}) as at:
        got = await ask(at.client, chat(CHAT, named))
        asked = at.asked
        assert at.kept().request == CHAT
    assert [f"127.0.0.1:{at.upstream.port}".encode()] == sent(asked, b"host")
    assert [b"%d" % len(asked.body)] == sent(asked, b"content-length")
    assert [b"identity"] == sent(asked, b"accept-encoding")
    assert 1 == len(got.values(b"x-spiritsafe-id"))
    assert completion() == got.body


async def test_an_upstream_cannot_speak_as_this_proxy(tmp_path: Path) -> None:
    script = saying(
        whole(completion(), b"X-Spiritsafe-Recorded: no", b"x-spiritsafe-error: x")
    )
    async with standing(tmp_path, script) as at:
        got = await ask(at.client, chat(CHAT))
    assert [b"yes"] == got.values(b"x-spiritsafe-recorded")
    assert [] == got.values(b"x-spiritsafe-error")


async def test_h39_the_upstream_sees_its_own_host(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        for host in (b"Host: another", b"host:", b"HOST: 127.0.0.1:1"):
            got = await ask(at.client, request("POST", FILES, host, body=b""))
            assert 200 == got.status
            expected = [f"127.0.0.1:{at.upstream.port}".encode()]
            assert expected == sent(at.asked, b"host")


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/chat/completions HTTP/1.1\r\n",
        b"POST /v1/files HTTP/1.1\r\nhost: a\r\nhost: a\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nHost: b\r\n",
        b"POST /v1/chat/completions HTTP/1.0\r\nhost: a\r\nHost: b\r\n",
    ],
)
async def test_h39_no_host_or_two_is_a_bad_request(tmp_path: Path, head: bytes) -> None:
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, head + b"content-length: 2\r\n\r\n{}")
        assert 400 == got.status
        assert [] == at.upstream.requests
    assert b"Host" in got.body


async def test_h40_forwarding_headers_of_the_client_are_not_passed_on(
    tmp_path: Path,
) -> None:
    lines = [
        b"x-forwarded-for: 1.2.3.4",
        b"X-Forwarded-Host: evil",
        b"forwarded: for=1.2.3.4",
        b"via: 1.1 somebody",
        b"x-real-ip: 1.2.3.4",
    ]
    async with standing(tmp_path, PLAIN) as at:
        await ask(at.client, chat(CHAT, *lines))
        asked = at.asked
    names = {name for name, _ in folded(asked.head)}
    assert not names & {name for name, _ in parted(lines)} - {b"via"}
    (mark,) = sent(asked, b"via")
    assert mark.startswith(b"1.1 spiritsafe-")


async def test_h40_a_request_that_comes_round_is_refused(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        await ask(at.client, chat(CHAT))
        (mark,) = sent(at.asked, b"via")
        for data in (
            chat(CHAT, b"via: 1.0 other, " + mark),
            request("GET", FILES, b"Via: " + mark),
        ):
            got = await ask(at.client, data)
            assert 508 == got.status
            assert [b"loop_detected"] == got.values(b"x-spiritsafe-error")
            assert [b"false"] == got.values(b"x-should-retry")
        assert 1 == len(at.upstream.requests)


async def test_h40_a_websocket_that_comes_round_is_refused(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        await ask(at.client, chat(CHAT))
        (mark,) = sent(at.asked, b"via")
        lines = [b"connection: upgrade", b"upgrade: websocket", b"via: " + mark]
        got = await ask(at.client, request("GET", b"/v1/realtime", *lines))
        assert 508 == got.status
        assert 1 == len(at.upstream.requests)


async def test_h39_a_websocket_without_a_host_is_a_bad_request(tmp_path: Path) -> None:
    head = b"GET /v1/realtime HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket"
    async with standing(tmp_path, PLAIN) as at:
        assert 400 == (await ask(at.client, head + b"\r\n\r\n")).status
        assert [] == at.upstream.requests


async def test_h43_a_stream_with_a_length_keeps_it_both_ways(tmp_path: Path) -> None:
    """An upload with a length leaves with it, in many pieces; a chunked one in chunks."""
    body = bytes(range(256)) * 1000

    async def echo(asked: RawRequest, wire: Wire) -> None:
        await wire.answer(asked.body, kind="application/octet-stream")

    async with standing(tmp_path, echo) as at:
        got = await ask(at.client, request("PUT", FILES, body=body))
        assert [b"256000"] == sent(at.asked, b"content-length")
        assert [] == sent(at.asked, b"transfer-encoding")
        assert body == at.asked.body == got.body
        assert [b"256000"] == got.values(b"content-length")
        chunked = request("PUT", FILES, b"transfer-encoding: chunked")
        got = await ask(at.client, chunked + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n")
        assert [b"chunked"] == sent(at.asked, b"transfer-encoding")
        assert [] == sent(at.asked, b"content-length")
        assert b"abcd" == at.asked.body == got.body


async def test_h43_a_request_without_a_body_leaves_without_one(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        for method in ("GET", "DELETE", "OPTIONS"):
            await ask(at.client, request(method, FILES))
            assert [] == sent(at.asked, b"content-length")
            assert [] == sent(at.asked, b"transfer-encoding")
        assert pairs_of(at.asked.head)


async def test_an_upgrade_that_is_no_websocket_is_an_ordinary_request(
    tmp_path: Path,
) -> None:
    """Java's client offers HTTP/2 with every request; its body must not get lost."""
    lines = [
        b"connection: Upgrade, HTTP2-Settings",
        b"upgrade: h2c",
        b"http2-settings: AAMAAABkAAQCAAAAAAIAAAAA",
    ]
    data = chat(CHAT, *lines)
    chunked = request("PUT", FILES, *lines, b"transfer-encoding: chunked")
    async with standing(tmp_path, PLAIN) as at:
        for slices in ([data], [data[:30], data[30:-5], data[-5:]]):
            for part in slices:
                await at.client.send(part)
                await asyncio.sleep(0)
            got = await answer(at.client)
            assert (200, completion()) == (got.status, got.body)
            names = dict(folded(at.asked.head)).keys()
            assert not {b"upgrade", b"http2-settings"} & names
            assert CHAT == at.kept().request
            assert CHAT[1:] == at.asked.body[-len(CHAT) + 1 :]
        await ask(at.client, chunked + b"3\r\nabc\r\n0\r\n\r\n")
        assert b"abc" == at.asked.body
        await ask(at.client, request("GET", FILES, *lines) + request("GET", FILES))
        assert 200 == (await answer(at.client)).status


@pytest.mark.parametrize("target", [b"/v1/chat/completions", FILES])
async def test_h68_what_caches_are_told_passes_untouched(
    tmp_path: Path, target: bytes
) -> None:
    """Both ways, with `no-transform` among it, which we would break by decoding."""
    lines = [
        b"cache-control: no-transform, max-age=0",
        b"cache-control: private",
        b"pragma: no-cache",
        b"warning: 199 - x",
    ]
    answers = [*lines, b'etag: W/"a"', b"vary: *", b"age: 7", b"expires: 0"]
    script = saying(whole(completion(), *answers))
    async with standing(tmp_path, script) as at:
        got = await ask(at.client, request("POST", target, *lines, body=CHAT))
        for name, value in parted(lines):
            assert value in sent(at.asked, name)
        assert [it for _, it in parted(lines[:2])] == sent(at.asked, b"cache-control")
        for name, value in parted(answers):
            assert value in got.values(name)
        assert completion() == got.body
