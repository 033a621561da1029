"""Streams everything that is not captured straight through, both ways, unread."""

import asyncio
from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from proxy import headers
from proxy.answering import send_error
from proxy.bodies import Body, request_body
from proxy.errors import SpiritsafeError
from proxy.front.turn import ClientGone, Turn
from proxy.meters import Meters
from proxy.patience import Patience
from proxy.targets import Route
from proxy.upstream.errors import UpstreamError
from proxy.upstream.reply import Reply
from proxy.upstream.request import Lines
from proxy.upstream.send import Upstream


class Through:
    """Relays requests of any shape: multipart, audio, files, whatever comes next."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        meters: Meters,
    ) -> None:
        self._upstreams = upstreams
        self._meters = meters

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Serve one request; raises nothing but cancellation."""
        turn: Turn = scope["extensions"]["spiritsafe"]
        try:
            body = await request_body(scope, receive, turn)
        except ClientGone:
            return
        except SpiritsafeError as exc:
            await send_error(send, exc)
            return
        await self._serve(scope, send, route, body)

    async def whole(self, scope: Scope, send: Send, route: Route, body: bytes) -> None:
        """Serve one request whose body was read already."""
        await self._serve(scope, send, route, body)

    async def _serve(
        self,
        scope: Scope,
        send: Send,
        route: Route,
        body: bytes | Body,
    ) -> None:
        turn: Turn = scope["extensions"]["spiritsafe"]
        upstream = self._upstreams[route.upstream]
        self._meters.relayed[upstream.name] += 1
        started = False
        patience = Patience(turn.task)
        turn.when_left = lambda: patience.lasts(0)
        try:
            reply = await upstream.send(
                scope["method"],
                route.suffix,
                turn.query,
                lines=Lines(
                    headers.to_upstream(
                        scope["headers"],
                        host=upstream.host,
                        content_length=declared_length(scope),
                        authorization=upstream.authorization,
                        via=upstream.mark,
                    )
                ),
                body=body,
            )
            started = True
            await relay(reply, send)
        except (SpiritsafeError, UpstreamError) as exc:
            if started:
                turn.cut()
            else:
                await send_error(send, exc)
        except ClientGone:
            turn.cut()
        except asyncio.CancelledError:
            turn.cut()
            if not patience.ran_out():
                raise
        finally:
            turn.when_left = None
            patience.end()


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
