"""The shapes of what `/api` sends back."""

from contextlib import ExitStack

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Json(Response):
    """A JSON text that is written already."""

    media_type = "application/json"


class Inert(Response):
    """Recorded bytes: nobody's page, whatever they hold (S-40)."""

    media_type = "application/octet-stream"

    def __init__(self, content: bytes) -> None:
        headers = {
            "content-disposition": "attachment",
            "content-security-policy": "sandbox; default-src 'none'",
        }
        super().__init__(content, headers=headers)


class Held:
    """A response, with what is to be let go of once it is sent."""

    def __init__(self, response: Response, held: ExitStack) -> None:
        self._response = response
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._held:
            await self._response(scope, receive, send)
