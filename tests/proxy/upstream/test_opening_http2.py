"""An upstream over HTTP/2: its faults cost one stream and have our names (H-78)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from proxy.settings import UpstreamSettings
from proxy.upstream.errors import UpstreamError, UpstreamTruncated
from proxy.upstream.opening import open_transport
from tests.proxy.upstream.http2 import BIG, Http2, http2_upstream
from tests.proxy.upstream.sending import exchange, post

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def joined(
    folder: Path, *, most_streams: int = 100
) -> AsyncIterator[tuple[httpx.AsyncBaseTransport, Http2]]:
    async with http2_upstream(folder, most_streams=most_streams) as upstream:
        settings = UpstreamSettings(
            url=upstream.url, transport="httpx", http2=True, ca_file=folder / "ca.pem"
        )
        async with asyncio.timeout(30), open_transport(settings) as transport:
            yield transport, upstream


async def body_of(
    transport: httpx.AsyncBaseTransport, upstream: Http2, path: str
) -> bytes:
    return (await exchange(transport, post(upstream.url + path)))[1]


async def until_asked(upstream: Http2, path: str) -> None:
    while path not in upstream.asked:  # noqa: ASYNC110  a scripted side wakes nobody
        await asyncio.sleep(0)


async def test_h78_streams_share_a_connection(tmp_path: Path) -> None:
    async with joined(tmp_path) as (transport, upstream):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(body_of(transport, upstream, "/hold"))
            await until_asked(upstream, "/hold")
            assert b"ok" == await body_of(transport, upstream, "/")
            upstream.held.pop()()
        assert b"held" == first.result()
        assert 1 == upstream.connections


@pytest.mark.parametrize("fault", ["/reset", "/broken"])
async def test_h78_a_reset_stream_spares_its_siblings(
    tmp_path: Path, fault: str
) -> None:
    """Before the head and within the body; the code of the reset is told."""
    async with joined(tmp_path) as (transport, upstream):
        async with asyncio.TaskGroup() as tasks:
            sibling = tasks.create_task(body_of(transport, upstream, "/hold"))
            await until_asked(upstream, "/hold")
            with pytest.raises(UpstreamError) as caught:
                await body_of(transport, upstream, fault)
            upstream.held.pop()()
        assert b"held" == sibling.result()
        assert ("7" if fault == "/broken" else "11") in str(caught.value)
        assert (fault == "/broken") == isinstance(caught.value, UpstreamTruncated)
        assert b"ok" == await body_of(transport, upstream, "/")
        assert 1 == upstream.connections


async def test_h78_after_goaway_the_next_request_takes_another_connection(
    tmp_path: Path,
) -> None:
    async with joined(tmp_path) as (transport, upstream):
        with pytest.raises(UpstreamError):
            await body_of(transport, upstream, "/goaway")
        assert ["/goaway"] == upstream.asked  # a POST is never asked twice
        assert b"ok" == await body_of(transport, upstream, "/goaway")
        assert 2 == upstream.connections


async def test_h78_no_more_streams_are_open_than_the_upstream_takes(
    tmp_path: Path,
) -> None:
    async with joined(tmp_path, most_streams=2) as (transport, upstream):
        assert b"ok" == await body_of(transport, upstream, "/")  # its settings are read
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(body_of(transport, upstream, "/hold"))
                for _ in range(6)
            ]
            for done in range(6):
                while not upstream.held:  # noqa: ASYNC110  as above
                    await asyncio.sleep(0)
                assert upstream.most_open <= 2 * upstream.connections
                upstream.held.pop()()
                assert done < 6
        assert [b"held"] * 6 == [task.result() for task in asked]


async def test_h78_a_body_of_many_windows_arrives_whole(tmp_path: Path) -> None:
    async with joined(tmp_path) as (transport, upstream):
        assert BIG == await body_of(transport, upstream, "/big")


async def test_h78_h27_trailers_are_no_headers(tmp_path: Path) -> None:
    async with joined(tmp_path) as (transport, upstream):
        response, body = await exchange(transport, post(upstream.url + "/trailers"))
        assert (b"ok", False) == (body, "x-late" in response.headers)
