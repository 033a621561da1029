"""Makes one application of all that this program answers itself.

Every answer of it has a `x-request-id`, and none is kept by anything on its way.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.api.desk import Desk
from proxy.api.document import document
from proxy.api.offers import Serve, offers
from proxy.api.sending import Json
from proxy.api.who import Door
from proxy.errors import (
    MethodError,
    NotFoundError,
    OwnError,
    SpiritsafeError,
    WhoError,
    answer,
)
from proxy.front.turn import ClientGone
from proxy.refusals import refusal_of
from proxy.stitch.values import write_json
from storage.errors import StorageError

DOCUMENT = "/api/openapi.json"


def api_routes(door: Door, desk: Desk, now_us: Callable[[], int]) -> list[BaseRoute]:
    """Return the routes of `/api`."""
    offered = offers(desk, now_us)
    text = write_json(document(offered))

    def admitted(serve: Serve) -> Callable[[Request], Awaitable[ASGIApp]]:
        async def served(request: Request) -> ASGIApp:
            return await serve(request, door.let_in(request.scope["headers"]))

        return served

    async def described(_: Request) -> Response:
        return Json(text)

    return [
        Route(DOCUMENT, described),
        *(
            Route(
                offer.path,
                admitted(offer.serve),
                methods=[offer.method],
                name=offer.name,
            )
            for offer in offered
        ),
    ]


class Own:
    """The application behind our own paths. Shapes: `routes` are all it serves."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.routes = routes
        kinds = (HTTPException, SpiritsafeError, StorageError, ClientGone, Exception)
        self._app = Starlette(
            routes=routes, exception_handlers=dict.fromkeys(kinds, told)
        )
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, marked(send))


def marked(send: Send) -> Send:
    """Return what sends, and gives an answer an id and says that none may keep it."""
    name = f"req_{secrets.token_hex(16)}".encode("ascii")

    async def marking(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message["headers"],
                (b"x-request-id", name),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ]
        await send(message)

    return marking


async def told(_: Request, failure: Exception) -> Response:
    """Return the answer that tells of a failure, in OpenAI's envelope."""
    error = blamed(failure)
    status, head, body = answer(error)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in head}
    if isinstance(failure, HTTPException):  # which methods there are
        headers |= {name.lower(): it for name, it in (failure.headers or {}).items()}
    if isinstance(error, WhoError):  # RFC 9110 §11.6.1
        headers["www-authenticate"] = 'Bearer realm="spiritsafe"'
    return Response(body, status, headers)


def blamed(failure: Exception) -> SpiritsafeError:
    """Return the error that a client is told of."""
    if isinstance(failure, SpiritsafeError):
        return failure
    if isinstance(failure, StorageError):
        return refusal_of(failure)
    status = failure.status_code if isinstance(failure, HTTPException) else 0
    if status == 404:
        return NotFoundError("Nothing is served at this path: see /api/openapi.json.")
    if status == 405:
        return MethodError("This path takes other methods: see the header Allow.")
    return OwnError("A defect of this program: its log tells more.")
