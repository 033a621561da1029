"""Streams everything that is not captured straight through, both ways, unread."""

import asyncio
from collections.abc import AsyncIterator, Mapping

import httpx
from starlette.types import Receive, Scope, Send

from proxy import headers
from proxy.answering import send_error
from proxy.front.turn import ClientGone, Turn
from proxy.meters import Meters
from proxy.targets import Route
from proxy.upstream.errors import UpstreamError
from proxy.upstream.send import Reply, Upstream


class Through:
    """Relays requests of any shape: multipart, audio, files, whatever comes next."""

    def __init__(self, upstreams: Mapping[str, Upstream], meters: Meters) -> None:
        self._upstreams = upstreams
        self._meters = meters

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Serve one request; raises nothing but cancellation."""
        await self._serve(scope, send, route, request_body(scope, receive))

    async def whole(self, scope: Scope, send: Send, route: Route, body: bytes) -> None:
        """Serve one request whose body was read already."""
        await self._serve(scope, send, route, httpx.ByteStream(body))

    async def _serve(
        self,
        scope: Scope,
        send: Send,
        route: Route,
        body: httpx.AsyncByteStream | httpx.ByteStream,
    ) -> None:
        turn: Turn = scope["extensions"]["spiritsafe"]
        upstream = self._upstreams[route.upstream]
        self._meters.relayed[upstream.name] += 1
        started = False
        try:
            async with asyncio.timeout(None) as patience:
                turn.when_left = lambda: patience.reschedule(0)
                reply = await upstream.send(
                    scope["method"],
                    route.suffix,
                    turn.query,
                    headers=headers.to_upstream(
                        scope["headers"],
                        host=upstream.host,
                        content_length=declared_length(scope),
                        authorization=upstream.authorization,
                        via=upstream.mark,
                    ),
                    stream=body,
                )
                started = True
                await relay(reply, send)
        except UpstreamError as exc:
            if started:
                turn.cut()
            else:
                await send_error(send, exc)
        except (ClientGone, TimeoutError):
            turn.cut()
        except asyncio.CancelledError:
            turn.cut()
            raise
        finally:
            turn.when_left = None


async def relay(reply: Reply, send: Send) -> None:
    """Send an answer on, chunk by chunk, and close it whatever happens."""
    try:
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": headers.to_client(reply.headers),
            }
        )
        async for chunk in reply.stream:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        await reply.stream.aclose()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def declared_length(scope: Scope) -> int | None:
    """Return the length that the client declared, which is kept (H-43)."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)
    return None


def request_body(
    scope: Scope, receive: Receive
) -> httpx.AsyncByteStream | httpx.ByteStream:
    """Return the request's body as a stream, or as no bytes where it has none."""
    framing = {b"content-length", b"transfer-encoding"}
    if any(name in framing for name, _ in scope["headers"]):
        return Body(receive)
    return httpx.ByteStream(b"")


class Body(httpx.AsyncByteStream):
    """A request body as the client sends it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give out the body in the pieces it arrives in.

        Raises: `ClientGone` when the client breaks off.
        """
        more = True
        while more:
            event = await self._receive()
            if event["type"] != "http.request":
                raise ClientGone
            if event["body"]:
                yield event["body"]
            more = event["more_body"]
