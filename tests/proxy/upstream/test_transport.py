"""One request over a real socket: what leaves, and that it comes back untouched."""

import httpx
import pytest

from proxy.upstream.errors import (
    RequestUnsendable,
)
from tests.proxy.upstream.sending import bare, exchange, own, post, transport
from tests.proxy.upstream.wire import OK, Peer, answering, upstream

pytestmark = pytest.mark.anyio

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_the_request_leaves_exactly_as_given_with_its_length_added() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(OK)

    headers = [(b"Host", b"a.test"), (b"x-B", b"2"), (b"X-a", b"1"), (b"x-B", b"\xe9")]
    async with upstream(script) as server, transport() as through:
        request = httpx.Request(
            "POST",
            server.url + "/ignored",
            headers=headers,
            stream=httpx.ByteStream(b"{}"),
            extensions={"target": b"/v1//a%2Fb/../c?q=%zz&q="},
        )
        response, body = await exchange(through, request)
    assert seen[0] == (
        b"POST /v1//a%2Fb/../c?q=%zz&q= HTTP/1.1\r\nHost: a.test\r\nx-B: 2\r\nX-a: 1\r\n"
        b"x-B: \xe9\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert (response.status_code, body) == (200, b"ok")
    assert response.headers.raw == [(b"Content-Length", b"2")]
    assert response.extensions["reason_phrase"] == b"OK"
    assert response.extensions["http_version"] == b"HTTP/1.1"


async def test_h43_a_right_length_is_kept_and_a_wrong_one_is_never_sent() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(OK)

    async with upstream(script) as server, transport() as through:
        for length in (b"3", b"4"):
            request = httpx.Request(
                "POST",
                server.url,
                headers=[(b"Content-Length", length)],
                stream=httpx.ByteStream(b"abc"),
            )
            if length == b"3":
                await exchange(through, request)
                continue
            with pytest.raises(RequestUnsendable) as caught:
                await exchange(through, request)
            assert caught.value.contacted == "no"
    assert seen == [b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_a_request_without_body_gets_no_framing(method: str) -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with upstream(script) as server, transport() as through:
        await exchange(through, bare(method, server.url + "/x"))
    expected = b"%b /x HTTP/1.1\r\nHost: upstream.test\r\n\r\n" % method.encode()
    assert expected == seen[0]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"A", b"b\r\nEvil: c")],
        [(b"A", b"b\nc")],
        [(b"A\r\nB", b"c")],
        [(b"A", b"b\0")],
        [(b"A", b"b\rc")],
    ],
)
async def test_a_header_cannot_smuggle_a_line(
    headers: list[tuple[bytes, bytes]],
) -> None:
    async with upstream(answering(OK)) as server, transport() as through:
        request = httpx.Request(
            "POST", server.url, headers=headers, stream=httpx.ByteStream(b"")
        )
        with pytest.raises(RequestUnsendable):
            await exchange(through, request)
        assert server.connection_count == 0


@pytest.mark.parametrize("target", [b"/a b", b"/a\r\nX: y", b"/\0"])
async def test_a_target_cannot_smuggle_a_line(target: bytes) -> None:
    async with transport() as through:
        request = post("http://127.0.0.1:9/")
        request.extensions["target"] = target
        with pytest.raises(RequestUnsendable):
            await exchange(through, request)


async def test_connections_are_reused_and_answers_read_byte_by_byte() -> None:
    slices = [bytes([byte]) for byte in CHUNKED + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"]
    async with upstream(answering(*slices)) as server, transport() as through:
        for _ in range(3):
            response, body = await exchange(through, post(server.url))
            assert (response.status_code, body) == (200, b"abcd")
            assert own(response).framing == "chunked"
        assert server.connection_count == 1
        stats = through.stats()
        assert (
            stats.open_count,
            stats.idle_count,
            stats.opened_total,
            stats.reused_total,
        ) == (1, 1, 1, 2)


async def test_a_whole_small_answer_can_be_taken_without_waiting() -> None:
    async with upstream(answering(OK)) as server, transport() as through:
        response = await through.handle_async_request(post(server.url))
        stream = own(response)
        assert (stream.ended, stream.take(), stream.take()) == (True, b"ok", b"")


async def test_h86_redirects_cookies_and_codings_pass_untouched() -> None:
    wire = (
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=1\r\n"
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    )
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(wire)

    async with upstream(script) as server, transport() as through:
        for _ in range(2):
            response, body = await exchange(through, post(server.url))
            assert (response.status_code, body) == (302, b"\x1f\x8b\x08\x00")
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_h85_the_environment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with upstream(answering(OK)) as server, transport() as through:
        assert (await exchange(through, post(server.url)))[1] == b"ok"


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x"])
async def test_an_origin_that_is_none_is_refused(url: str) -> None:
    async with transport() as through:
        with pytest.raises(RequestUnsendable):
            await exchange(through, post(url))


async def test_connect_is_not_forwarded() -> None:
    async with transport() as through:
        with pytest.raises(RequestUnsendable):
            await exchange(through, bare("CONNECT", "http://127.0.0.1:9/"))
