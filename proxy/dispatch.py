"""Decides from the request target alone who serves a request, and lets them."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.answering import send_error
from proxy.callers import Callers
from proxy.errors import BusyError, HostError, SpiritsafeError
from proxy.headers import admit, credential
from proxy.strangers import Strangers
from proxy.targets import NO_ID, Route, conversation_in, route
from proxy.upstream.send import Upstream

CLOSE = ((b"connection", b"close"),)
"""Who cannot name its host may not mean the next request either."""

Serve = Callable[[Scope, Receive, Send, Route], Awaitable[None]]


class Dispatch:
    """The application once everything it needs is open."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        forward: Serve,
        through: Serve,
        stored: Serve,
        own: ASGIApp,
        callers: Callers,
        mark: bytes,
        strangers: Strangers,
        embeddings: bool,
        most_at_once: int,
    ) -> None:
        self._upstreams = upstreams
        self._forward = forward
        self._through = through
        self._stored = stored
        self._own = own
        self._callers = callers
        self._mark = mark
        self._strangers = strangers
        self._embeddings = embeddings
        self._most_at_once = most_at_once
        self._under_way = 0  # requests, not connections: idle ones cost no place (H-87)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        notes = scope["extensions"]["spiritsafe"].notes
        way: Route | None = notes.get(self)
        if way is None:
            try:
                way = notes[self] = self._let_in(scope)
            except SpiritsafeError as exc:
                extra = CLOSE if isinstance(exc, HostError) else ()
                await send_error(send, exc, extra)
                return
        if scope["method"] == "OPTIONS" and way.kind == "relay" and here(scope):
            await send_options(send)
            return
        if way.kind == "own":  # answered whatever the load is
            await self._own(scope, receive, send)
            return
        if self._under_way >= self._most_at_once:
            await send_error(send, too_many(self._most_at_once))
            return
        self._under_way += 1
        try:
            if way.kind == "captured" or self._goes_on(way):
                await self._forward(scope, receive, send, way)
            elif way.kind == "stored" or self._converses(way):
                await self._stored(scope, receive, send, way)
            else:
                await self._through(scope, receive, send, way)
        finally:
            self._under_way -= 1

    def _let_in(self, scope: Scope) -> Route:
        """Return where a request goes, if it may; raises what it is refused with."""
        admit(scope["headers"], self._mark, version=scope["http_version"])
        self._strangers.refuse(scope["headers"])
        way = route(
            scope["method"],
            scope["raw_path"],
            self._upstreams,
            embeddings=self._embeddings,
        )
        if self._callers.issues_tokens and way.kind != "own":
            self._refuse_unknown(scope, way)
        return way

    def _goes_on(self, way: Route) -> bool:
        """Return whether a relayed request may name a response that our key opens."""
        held = self._upstreams[way.upstream].authorization is not None
        return way.kind == "relay" and held and way.below in NO_ID

    def _converses(self, way: Route) -> bool:
        """Return whether a relayed path names a conversation that our key opens."""
        held = self._upstreams[way.upstream].authorization is not None
        return held and bool(conversation_in(way.suffix))

    def _refuse_unknown(self, scope: Scope, way: Route) -> None:
        """Raise `WhoError` for callers that this upstream is not for."""
        key = credential(scope["headers"], scope["query_string"])
        held = self._upstreams[way.upstream].authorization is not None
        self._callers.admit(key, held=held)


def too_many(most: int) -> BusyError:
    """Return what to tell a request for which there is no place."""
    return BusyError(
        f"{most} requests are under way, which is the most there may be: come again, "
        "or raise max_requests_at_once."
    )


def here(scope: Scope) -> bool:
    """Return whether an OPTIONS is for us: it may go no further (RFC 9110 §7.6.2).

    One that may go further may do so once less from here on.
    """
    for at, (name, value) in enumerate(scope["headers"]):
        if name == b"max-forwards" and value.isdigit() and len(value) < 10:
            if not int(value):
                return True
            scope["headers"][at] = (name, b"%d" % (int(value) - 1))
    return False


async def send_options(send: Send) -> None:
    """Tell what this proxy itself takes under `/v1`: whatever the upstream does."""
    head = [(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")]
    head.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
