"""Request bodies as they arrive: whole within a limit, or piece by piece."""

from collections.abc import AsyncIterator

import httpx
from starlette.types import Message, Receive, Scope

from proxy.budget import Share
from proxy.errors import BodyTimeoutError, TooLargeError
from proxy.front.turn import ClientGone, Turn


class Body(httpx.AsyncByteStream):
    """A request body as the client sends it, behind a piece that is here already."""

    def __init__(self, receive: Receive, turn: Turn, first: bytes = b"") -> None:
        self._receive = receive
        self._turn = turn
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give out the body in the pieces it arrives in.

        Raises: `ClientGone` when the client breaks off, `BodyTimeoutError` when it
        comes too slowly (H-75).
        """
        yield self._first
        more = True
        while more:
            event = await timely(self._receive, self._turn)
            yield event["body"]
            more = event["more_body"]


async def read_body(
    receive: Receive, turn: Turn, most_bytes: int, *, share: Share | None = None
) -> bytes:
    """Read a request body whole.

    Shapes: `share` accounts for the memory of a body that is not here yet.
    Raises: `TooLargeError` past `most_bytes`; `ClientGone` when it breaks off;
    `BodyTimeoutError` when it comes too slowly (H-75); `BusyError` for want of memory.
    """
    pieces: list[bytes] = []
    size = 0
    more = True
    while more:
        event = await timely(receive, turn)
        pieces.append(event["body"])
        size += len(event["body"])
        if size > most_bytes:
            raise too_large(most_bytes)
        if share is not None:
            await share.reach(size)
        more = event["more_body"]
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def too_large(most_bytes: int) -> TooLargeError:
    """Return what to tell whose body passes the limit of what is recorded."""
    return TooLargeError(
        f"The request body is larger than the {most_bytes} bytes that are "
        "recorded here: raise max_request_bytes, or send it with the header "
        "x-spiritsafe-record: off."
    )


async def timely(receive: Receive, turn: Turn) -> Message:
    """Return the next piece of a request.

    Raises: `BodyTimeoutError` when the client was found too slow, `ClientGone` when it
    broke off.
    """
    event = await receive()
    if event["type"] != "http.request":
        raise ClientGone
    if turn.late:
        raise BodyTimeoutError(
            "The request body came too slowly: send it faster, or see body_timeout_s "
            "and min_body_bytes_per_s."
        )
    return event


async def request_body(scope: Scope, receive: Receive, turn: Turn) -> bytes | Body:
    """Return the request's body: whole where it came in one piece, else as it comes.

    Raises: `ClientGone` when the client breaks off, `BodyTimeoutError` when it comes
    too slowly.
    """
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" in names:
        return Body(receive, turn)  # leaves in chunks as well (H-43)
    if b"content-length" not in names:
        return b""
    first = await timely(receive, turn)
    if first["more_body"]:
        return Body(receive, turn, first["body"])
    whole: bytes = first["body"]
    return whole
