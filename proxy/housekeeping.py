"""Keeps house in a running server: retains, and does what commands ask of it.

Who may ask proves it with a secret of this run, which lies beside the file.
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from proxy.bodies import read_body
from proxy.errors import TooLargeError
from proxy.schemas.registrar import Registrar
from proxy.settings import Settings
from storage.engines.owner import tell
from storage.errors import StorageError
from storage.index.behind import Behind
from storage.recorder import Recorder
from storage.registering import Entered, Entry
from storage.retention import Policy, Retention
from storage.upkeep import Report, Upkeep, keep_up
from storage.wishes import Wish, carry_out

PATH = "/api/upkeep"
SCHEMAS_PATH = "/api/upkeep/schemas"

MOST_BODY_BYTES = 64 * 1024 * 1024
"""Of one wish: the numbers of some million rows."""

_SECRET_BYTES = 32

# In the background traffic comes first: four fifths of the time are its own.
_PAUSE_RATIO = 4

_wishes = msgspec.json.Decoder(Wish)
_entries = msgspec.json.Decoder(Entry)
_encode = msgspec.json.Encoder().encode


class Housekeeping:
    """Upkeep of one file while it is served."""

    def __init__(
        self, db: Path, recorder: Recorder, settings: Settings, *, index: Behind | None
    ) -> None:
        self._db = db
        self._secret = secrets.token_hex(_SECRET_BYTES)
        self._mask_tags = settings.mask_tags
        self._retention = Retention(policy_of(settings))
        self._behind = Upkeep(recorder, db, index=index, pause_ratio=_PAUSE_RATIO)
        self._asked = Upkeep(recorder, db, index=index)
        self._turn = asyncio.Lock()  # one wish at a time

    def announce(self, address: str) -> None:
        """Write down where commands reach this server, and by what it knows them."""
        tell(self._db, address=address, secret=self._secret)

    async def keep(self, clock: Callable[[], int]) -> None:
        """Retain and clean up in the background, until cancelled."""
        await keep_up(self._behind, self._retention, clock=clock)

    async def serve(self, request: Request, clock: Callable[[], int]) -> Response:
        """Carry out what a command asks."""

        async def upkeep(body: bytes) -> Report:
            wish = _wishes.decode(body)
            wish = msgspec.structs.replace(wish, add=self._mask_tags(wish.add))
            async with self._turn:
                return await carry_out(wish, self._asked, clock=clock)

        return await self._done(request, upkeep)

    async def register(self, request: Request, registrar: Registrar) -> Response:
        """Change what is registered, as a command asks."""

        async def enter(body: bytes) -> Entered:
            return await registrar.enter(_entries.decode(body))

        return await self._done(request, enter)

    async def _done(
        self, request: Request, do: Callable[[bytes], Awaitable[Report | Entered]]
    ) -> Response:
        """Do what the body asks, where the secret of this run comes with it."""
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, f"Bearer {self._secret}".encode()):
            return _answer(401, "this path is for the commands of this machine alone")
        try:
            turn = request.scope["extensions"]["spiritsafe"]
            body = await read_body(request.receive, turn, MOST_BODY_BYTES)
            report = await do(body)
        except TooLargeError:
            return _answer(413, f"a wish has {MOST_BODY_BYTES} bytes at most: do less")
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            return _answer(400, f"this is no wish: {exc}")
        except StorageError as exc:
            return _answer(409, str(exc))
        return Response(_encode(report), media_type="application/json")


def policy_of(settings: Settings) -> Policy:
    """Return what is kept, and for how long."""
    return Policy(
        bodies_days=settings.keep_bodies_days,
        rows_days=settings.keep_rows_days,
        most_bytes=settings.max_file_bytes,
    )


def _answer(status: int, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "code": "upkeep"}
    body = _encode({"error": error})
    return Response(body, status_code=status, media_type="application/json")
