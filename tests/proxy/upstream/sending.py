"""How these tests send: one transport, one request, the whole answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from proxy.upstream.limits import Limits
from proxy.upstream.stream import AnswerStream
from proxy.upstream.transport import Transport


@asynccontextmanager
async def transport(limits: Limits | None = None) -> AsyncIterator[Transport]:
    """Open our transport, and close it whatever happens."""
    opened = Transport(limits=limits or Limits())
    try:
        yield opened
    finally:
        await opened.aclose()


def post(url: str, body: bytes = b"{}") -> httpx.Request:
    """Return a POST with the headers that a caller of the transport has made."""
    headers = [(b"Host", b"upstream.test"), (b"Content-Type", b"application/json")]
    return httpx.Request("POST", url, headers=headers, stream=httpx.ByteStream(body))


def bare(method: str, url: str) -> httpx.Request:
    """Return a request without a body."""
    headers = [(b"Host", b"upstream.test")]
    return httpx.Request(method, url, headers=headers, stream=httpx.ByteStream(b""))


async def exchange(
    through: httpx.AsyncBaseTransport, request: httpx.Request
) -> tuple[httpx.Response, bytes]:
    """Send and read all of the answer."""
    response = await through.handle_async_request(request)
    return response, await body_of(response)


async def body_of(response: httpx.Response) -> bytes:
    """Read all of an answer and close it."""
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        return b"".join([chunk async for chunk in stream])
    finally:
        await stream.aclose()


def own(response: httpx.Response) -> AnswerStream:
    """Return the answer's stream as our own class."""
    assert isinstance(response.stream, AnswerStream)
    return response.stream
