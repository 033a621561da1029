"""Both transports, behind one set of errors; and no error of theirs left out."""

import inspect
import ssl

import httpx
import pytest

from proxy.settings import UpstreamSettings
from proxy.upstream import errors
from proxy.upstream.errors import UpstreamError, UpstreamTlsFailed
from proxy.upstream.limits import Limits
from proxy.upstream.opening import Translated, open_transport
from proxy.upstream.translation import Part, translate
from proxy.upstream.transport import Transport
from tests.proxy.upstream.sending import exchange, post
from tests.proxy.upstream.test_transport_tls import pair
from tests.proxy.upstream.wire import OK, Peer, Script, answering, once, upstream

pytestmark = pytest.mark.anyio


def classes_of(module: object, kind: type[BaseException]) -> list[type]:
    found = [value for _, value in inspect.getmembers(module, inspect.isclass)]
    return [value for value in found if issubclass(value, kind)]


@pytest.mark.parametrize("theirs", classes_of(httpx, httpx.TransportError))
@pytest.mark.parametrize("part", ["head", "body"])
def test_every_error_of_httpx_has_a_translation(
    theirs: type[httpx.TransportError], part: Part
) -> None:
    ours = translate(theirs("words"), part=part)
    assert isinstance(ours, UpstreamError)
    assert str(ours) == "words"
    assert (type(ours) is UpstreamError) == (theirs is httpx.TransportError)


@pytest.mark.parametrize("ours", classes_of(errors, UpstreamError))
def test_every_error_says_code_status_and_contact(ours: type[UpstreamError]) -> None:
    error = ours("words")
    assert error.code.startswith(("upstream_", "request_"))
    assert error.status_hint in {502, 503, 504}
    assert error.contacted in {"yes", "no", "unknown"}
    assert ours("words", contacted="yes").contacted == "yes"
    assert errors.__doc__ is not None
    assert (
        ours is UpstreamError or f"{error.status_hint} {error.code}" in errors.__doc__
    )
    assert translate(error, part="body") is error


def test_the_settings_choose_the_transport() -> None:
    own = open_transport(UpstreamSettings(url="http://a.test/v1", idle_expiry_s=1.5))
    assert isinstance(own, Transport)
    theirs = open_transport(
        UpstreamSettings(url="https://a.test/v1", transport="httpx", http2=True)
    )
    assert isinstance(theirs, Translated)


def test_the_limits_are_those_of_the_settings() -> None:
    settings = UpstreamSettings(
        url="http://a.test",
        connect_timeout_s=1,
        first_byte_timeout_s=2,
        idle_timeout_s=3,
        max_connections=4,
        pool_timeout_s=5,
        idle_expiry_s=6,
    )
    assert Limits.of(settings) == Limits(
        connect_timeout_s=1,
        first_byte_timeout_s=2,
        idle_timeout_s=3,
        max_connections=4,
        pool_timeout_s=5,
        idle_expiry_s=6,
    )
    assert Limits.of(UpstreamSettings(url="http://a.test")) == Limits()


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.ended()


async def stalling(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    await peer.ended()


FAULTS: dict[str, Script] = {
    "upstream_first_byte_timeout": silent,
    "upstream_idle_timeout": stalling,
    "upstream_truncated": once(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"),
    "upstream_gone": once(),
    "upstream_protocol_error": once(b"SSH-2.0-OpenSSH\r\n\r\n"),
}


@pytest.mark.parametrize("kind", ["own", "httpx"])
@pytest.mark.parametrize(("code", "script"), FAULTS.items(), ids=FAULTS.keys())
async def test_both_transports_name_a_fault_alike(
    kind: str, code: str, script: Script
) -> None:
    async with upstream(script) as server:
        settings = UpstreamSettings.model_validate(
            {
                "url": server.url,
                "transport": kind,
                "first_byte_timeout_s": 0.4,
                "idle_timeout_s": 0.4,
            }
        )
        async with open_transport(settings) as through:
            with pytest.raises(UpstreamError) as caught:
                await exchange(through, post(server.url))
    assert caught.value.code == code


async def sent(kind: str, body: bytes, *, target: bytes = b"/") -> bytes:
    """Return what an upstream gets of a request over one kind of transport."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(OK)

    async with upstream(script) as server:
        settings = UpstreamSettings.model_validate(
            {"url": server.url, "transport": kind}
        )
        async with open_transport(settings) as through:
            request = post(server.url, body)
            request.extensions["target"] = target
            assert (await exchange(through, request))[1] == b"ok"
    return seen[0]


@pytest.mark.parametrize("kind", ["own", "httpx"])
async def test_both_transports_send_the_exact_target(kind: str) -> None:
    head = await sent(kind, b"{}", target=b"/v1/%2F//x?%zz")
    assert head.startswith(b"POST /v1/%2F//x?%zz HTTP/1.1\r\n")


@pytest.mark.parametrize("kind", ["own", "httpx"])
@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_both_transports_say_how_long_a_body_is(kind: str, body: bytes) -> None:
    head = (await sent(kind, body)).lower()
    assert head.count(b"content-length: %d\r\n" % len(body)) == 1


@pytest.mark.parametrize("kind", ["own", "httpx"])
async def test_h84_both_transports_verify_and_say_so(kind: str) -> None:
    server_side, _ = pair()
    async with upstream(answering(OK), tls=server_side) as server:
        settings = UpstreamSettings.model_validate(
            {"url": server.url, "transport": kind}
        )
        async with open_transport(settings) as through:
            with pytest.raises(UpstreamTlsFailed) as caught:
                await exchange(through, post(server.url))
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    assert isinstance(cause, ssl.SSLCertVerificationError)
