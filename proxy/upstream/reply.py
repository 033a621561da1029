"""What an upstream answered, and how to ask: the seam between ways to send."""

from collections.abc import MutableMapping
from typing import Any, NamedTuple, Protocol

import httpx


class Reply(NamedTuple):
    """The head of an answer, and its body as it comes.

    Shapes: `headers` with the upstream's spelling, order and duplicates; after a 101
    `extensions["network_stream"]` is the tunnel. Whoever gets it closes `stream`.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    stream: httpx.AsyncByteStream
    extensions: MutableMapping[str, Any]


class Sender(Protocol):
    """One way to send requests: our own transport, or any of httpx's."""

    async def send(
        self,
        url: httpx.URL,
        method: str,
        target: bytes,
        *,
        headers: list[tuple[bytes, bytes]],
        body: bytes | httpx.AsyncByteStream,
    ) -> Reply:
        """Send one request to the origin of `url`; return once its answer has a head.

        Shapes: `target` is the request target, byte for byte.
        Raises: `UpstreamError`, and what a streamed body raises itself.
        """
