"""Keeps house in a running server: retains, and does what commands ask of it.

Who may ask proves it with a secret of this run, which lies beside the file.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from proxy.settings import Settings
from storage.engines.owner import tell
from storage.errors import StorageError
from storage.index.behind import Behind
from storage.recorder import Recorder
from storage.retention import Policy, Retention
from storage.upkeep import Upkeep, keep_up
from storage.wishes import Wish, carry_out

PATH = "/api/upkeep"

_SECRET_BYTES = 32

# In the background traffic comes first: four fifths of the time are its own.
_PAUSE_RATIO = 4

_decoder = msgspec.json.Decoder(Wish)
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
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, f"Bearer {self._secret}".encode()):
            return _answer(401, "this path is for the commands of this machine alone")
        try:
            wish = _decoder.decode(await request.body())
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            return _answer(400, f"this is no wish: {exc}")
        wish = msgspec.structs.replace(wish, add=self._mask_tags(wish.add))
        async with self._turn:
            try:
                report = await carry_out(wish, self._asked, clock=clock)
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
