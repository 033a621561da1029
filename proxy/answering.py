"""What the proxy itself says: headers it adds, errors it sends, error events."""

from collections.abc import Sequence

import orjson
from starlette.types import Send

from proxy.errors import Refusal, answer
from storage.records import Endpoint, HeaderPairs


def own_headers(
    exchange_id: str, *, recorded: bool, own_us: int, told: HeaderPairs = ()
) -> list[tuple[bytes, bytes]]:
    """Return the headers that mark an answer as one that came through here.

    Shapes: `told` are further ones, of what was judged.
    Units: `own_us` microseconds, told as milliseconds (`server-timing`).
    """
    return [
        (b"x-spiritsafe-id", exchange_id.encode("ascii")),
        (b"x-spiritsafe-recorded", b"yes" if recorded else b"no"),
        (b"server-timing", b"spiritsafe;dur=%.3f" % (own_us / 1000)),
        *told,
    ]


async def send_error(
    send: Send, error: Refusal, extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send an error of our own as a whole answer, in OpenAI's envelope."""
    status, head, body = answer(error)
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*head, *extra],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def error_event(endpoint: Endpoint, error: Refusal) -> bytes:
    """Return the event that tells a streaming client that the answer broke off.

    Source: wire 2.4 (Python raises on a truthy `error`, Node on `event: error` too).
    """
    inner = {
        "message": str(error),
        "type": "server_error",
        "param": None,
        "code": error.code,
    }
    if endpoint != "responses":
        return b"data: %b\n\n" % orjson.dumps({"error": inner})
    told = inner | {"type": "error", "error": inner, "sequence_number": None}
    return b"event: error\ndata: %b\n\n" % orjson.dumps(told)
