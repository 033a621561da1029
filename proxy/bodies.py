"""Request bodies as they arrive: whole within a limit, or piece by piece."""

import asyncio
from collections.abc import AsyncIterator

import httpx
from starlette.types import Message, Receive, Scope

from proxy.errors import BodyTimeoutError, TooLargeError
from proxy.front.turn import ClientGone


class Body(httpx.AsyncByteStream):
    """A request body as the client sends it, behind a piece that is here already."""

    def __init__(self, receive: Receive, idle_s: float, first: bytes = b"") -> None:
        self._receive = receive
        self._idle_s = idle_s
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give out the body in the pieces it arrives in.

        Raises: `ClientGone` when the client breaks off, `BodyTimeoutError` when it
        stalls (H-75).
        """
        yield self._first
        more = True
        while more:
            event = await timely(self._receive, self._idle_s)
            if event["type"] != "http.request":
                raise ClientGone
            yield event["body"]
            more = event["more_body"]


async def read_body(
    receive: Receive, most_bytes: int, *, idle_s: float | None = None
) -> bytes:
    """Read a request body whole.

    Units: `idle_s` seconds between two reads at most; None waits for ever.
    Raises: `TooLargeError` past `most_bytes`; `ClientGone` when it breaks off;
    `BodyTimeoutError` when it stalls (H-75).
    """
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        event = await timely(receive, idle_s)
        if event["type"] != "http.request":
            raise ClientGone
        pieces.append(event["body"])
        size += len(event["body"])
        if size > most_bytes:
            raise TooLargeError(
                f"The request body is larger than the {most_bytes} bytes that are "
                "recorded here: raise max_request_bytes, or send it with the header "
                "x-spiritsafe-record: off."
            )
        more = event["more_body"]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def timely(receive: Receive, idle_s: float | None) -> Message:
    """Return the next piece of a request.

    Raises: `BodyTimeoutError` when none came in time.
    """
    if idle_s is None:
        return await receive()
    try:
        async with asyncio.timeout(idle_s):
            return await receive()
    except TimeoutError:
        raise BodyTimeoutError(
            f"No byte of the request body came for {idle_s:g} seconds: send it "
            "faster, or raise body_timeout_s."
        ) from None


async def request_body(
    scope: Scope, receive: Receive, *, idle_s: float
) -> bytes | Body:
    """Return the request's body: whole where it came in one piece, else as it comes.

    Units: `idle_s` seconds between two reads at most.
    Raises: `ClientGone` when the client breaks off, `BodyTimeoutError` when it stalls.
    """
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" in names:
        return Body(receive, idle_s)  # leaves in chunks as well (H-43)
    if b"content-length" not in names:
        return b""
    first = await timely(receive, idle_s)
    if first["type"] != "http.request":
        raise ClientGone
    if first["more_body"]:
        return Body(receive, idle_s, first["body"])
    whole: bytes = first["body"]
    return whole
