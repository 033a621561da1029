"""Decides from the request target alone who serves a request, and lets them."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.answering import send_error
from proxy.errors import SpiritsafeError
from proxy.headers import admit
from proxy.strangers import Strangers
from proxy.targets import Route, route
from proxy.upstream.send import Upstream

Serve = Callable[[Scope, Receive, Send, Route], Awaitable[None]]


class Dispatch:
    """The application once everything it needs is open."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        forward: Serve,
        through: Serve,
        own: ASGIApp,
        mark: bytes,
        strangers: Strangers,
        embeddings: bool,
    ) -> None:
        self._upstreams = upstreams
        self._forward = forward
        self._through = through
        self._own = own
        self._mark = mark
        self._strangers = strangers
        self._embeddings = embeddings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            way = route(
                scope["method"],
                scope["raw_path"],
                self._upstreams,
                embeddings=self._embeddings,
            )
            admit(scope["headers"], self._mark, version=scope["http_version"])
            self._strangers.refuse(scope["headers"])
        except SpiritsafeError as exc:
            await send_error(send, exc)
            return
        if way.kind == "own":
            await self._own(scope, receive, send)
        elif way.kind == "captured":
            await self._forward(scope, receive, send, way)
        else:
            await self._through(scope, receive, send, way)
