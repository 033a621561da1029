"""TLS to the upstream: verified, named, and no end without close_notify (H-84)."""

import asyncio
import datetime as dt
import socket
import ssl

import pytest
import trustme

from proxy.upstream.dial import Address, _first_of
from proxy.upstream.errors import (
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamTlsFailed,
    UpstreamTruncated,
)
from proxy.upstream.limits import Limits
from proxy.upstream.transport import Transport, verifying_context
from tests.proxy.upstream.sending import body_of, exchange, own, post
from tests.proxy.upstream.wire import OK, Peer, Script, answering, once, upstream

pytestmark = pytest.mark.anyio


def pair(
    name: str = "localhost", *, expired: bool = False
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context for this name and a client's that trusts it."""
    authority = trustme.CA()
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    issued = authority.issue_cert(name, not_after=past if expired else None)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(server)
    client = verifying_context()
    authority.configure_trust(client)
    return server, client


async def turns(count: int) -> None:
    """Let the loop turn so often that what is on its way arrives."""
    for _ in range(count):
        await asyncio.sleep(0)


def over_tls(client: ssl.SSLContext | None, limits: Limits | None = None) -> Transport:
    return Transport(limits=limits or Limits(), ssl_context=client)


async def test_h84_f44_an_answer_over_tls_is_read_and_the_connection_reused() -> None:
    server_side, client_side = pair()
    names: list[str] = []
    server_side.sni_callback = lambda _, name, __: names.append(name)
    async with (
        upstream(answering(OK), tls=server_side) as server,
        over_tls(client_side) as through,
    ):
        for _ in range(3):
            assert (await exchange(through, post(server.url)))[1] == b"ok"
        assert server.connection_count == 1
    assert names == ["localhost"]


@pytest.mark.parametrize("fault", ["expired", "wrong host", "self-signed"])
async def test_h84_f44_a_certificate_that_does_not_verify_is_refused(
    fault: str,
) -> None:
    server_side, client_side = pair(
        "elsewhere.test" if fault == "wrong host" else "localhost",
        expired=fault == "expired",
    )
    trusted = None if fault == "self-signed" else client_side
    async with (
        upstream(answering(OK), tls=server_side) as server,
        over_tls(trusted) as through,
    ):
        with pytest.raises(UpstreamTlsFailed) as caught:
            await exchange(through, post(server.url))
        assert (caught.value.contacted, caught.value.status_hint) == ("no", 502)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_h84_f44_an_upstream_without_tls_is_refused() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad\r\n\r\n")
        await peer.ended()

    async with upstream(script) as server, over_tls(None) as through:
        with pytest.raises(UpstreamTlsFailed):
            await exchange(through, post(f"https://localhost:{server.port}"))
        assert through.stats().open_count == 0


async def test_h84_f44_tls_older_than_1_2_is_never_offered() -> None:
    assert verifying_context().minimum_version is ssl.TLSVersion.TLSv1_2
    assert verifying_context().verify_mode is ssl.CERT_REQUIRED
    assert verifying_context().check_hostname


async def test_h76_f44_a_handshake_that_stalls_is_a_connect_timeout() -> None:
    async def script(peer: Peer) -> None:
        await peer.ended()

    limits = Limits(connect_timeout_s=0.05)
    async with upstream(script) as server, over_tls(None, limits) as through:
        with pytest.raises(UpstreamConnectTimeout) as caught:
            await exchange(through, post(f"https://localhost:{server.port}"))
        assert caught.value.contacted == "no"


def cutting(wire: bytes) -> Script:
    """Return a script that answers and then shuts TCP below TLS."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        peer.shut()
        await peer.ended()

    return script


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
async def test_h84_f44_an_end_without_close_notify_is_truncation(wire: bytes) -> None:
    server_side, client_side = pair()
    async with (
        upstream(cutting(wire), tls=server_side) as server,
        over_tls(client_side) as through,
    ):
        response = await through.handle_async_request(post(server.url))
        with pytest.raises(UpstreamTruncated):
            await body_of(response)
        assert not own(response).ended


async def test_h23_an_end_with_close_notify_completes_a_body_until_close() -> None:
    server_side, client_side = pair()
    wire = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    async with (
        upstream(once(wire), tls=server_side) as server,
        over_tls(client_side) as through,
    ):
        response, body = await exchange(through, post(server.url))
        assert (body, own(response).ended) == (b"all of it", True)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".test", "[::1]"])
async def test_h83_f43_a_host_that_leads_nowhere_is_a_fast_502(host: str) -> None:
    with socket.socket(socket.AF_INET6) as unheard:
        unheard.bind(("::1", 0))
        port = unheard.getsockname()[1]
        async with Transport(limits=Limits()) as through:
            with pytest.raises(UpstreamError) as caught:
                await exchange(through, post(f"http://{host}:{port}"))
    assert (caught.value.code, caught.value.contacted) == (
        "upstream_connect_failed",
        "no",
    )


async def test_h83_f43_every_address_of_a_name_is_tried() -> None:
    async with upstream(answering(OK)) as server:
        dead: Address = (socket.AF_INET6, ("::1", server.port, 0, 0))
        alive: Address = (socket.AF_INET, ("127.0.0.1", server.port))
        for addresses in ([dead, alive], [alive, dead], [dead, dead, alive]):
            with await _first_of(addresses) as found:
                assert found.getpeername() == ("127.0.0.1", server.port)
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await _first_of([dead, dead])


async def test_h83_f43_an_address_that_hangs_is_overtaken() -> None:
    with socket.socket() as deaf, socket.socket() as filler:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        hanging: Address = (socket.AF_INET, deaf.getsockname())
        filler.connect(deaf.getsockname())
        async with upstream(answering(OK)) as server:
            alive: Address = (socket.AF_INET, ("127.0.0.1", server.port))
            with await _first_of([hanging, hanging, alive]) as found:
                assert found.getpeername() in {alive[1], hanging[1]}


async def test_h84_f44_a_slow_reader_gets_what_came_before_the_end_of_tls(
    anyio_backend: tuple[str, dict[str, bool]],
) -> None:
    """Uvloop 0.22 throws away what waits when FIN comes; then we say truncated."""
    server_side, client_side = pair()
    size = 400_000

    async def script(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        await peer.send(head % size + bytes(size))
        await turns(300)
        peer.shut()
        shut.set()
        await peer.ended()

    shut = asyncio.Event()
    async with (
        upstream(script, tls=server_side) as server,
        over_tls(client_side) as through,
    ):
        for _ in range(5):
            response = await through.handle_async_request(post(server.url))
            await shut.wait()
            await turns(20)
            shut.clear()
            try:
                assert len(await body_of(response)) == size
            except UpstreamTruncated:
                assert anyio_backend[1]["use_uvloop"]
