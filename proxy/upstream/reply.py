"""What an upstream answered, and how to ask: the seam between ways to send."""

from collections.abc import Awaitable, MutableMapping
from typing import Any, NamedTuple, Protocol

import httpx

from proxy.upstream.request import Lines


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
    """The way to one origin: over our own transport, or any of httpx's."""

    def send(
        self,
        method: str,
        target: bytes,
        *,
        lines: Lines,
        body: bytes | httpx.AsyncByteStream,
    ) -> Awaitable[Reply]:
        """Send one request; its answer's head ends the wait.

        Shapes: `target` is the request target, byte for byte; `lines` need not say how
        long a whole body is.
        Raises: `UpstreamError`, and what a streamed body raises itself.
        """
