"""One request out to a named upstream: where it is, how it is spoken to."""

from collections.abc import MutableMapping
from typing import Any, NamedTuple, cast

import httpx

from proxy.hosts import Accepts, accepts, known
from proxy.settings import UpstreamSettings
from proxy.targets import forwarded
from proxy.upstream.request import Outgoing
from proxy.upstream.transport import Transport, extensions_of


class Reply(NamedTuple):
    """The head of an answer, and its body as it comes.

    Shapes: `headers` with the upstream's spelling, order and duplicates. Whoever gets
    it closes `stream`.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    stream: httpx.AsyncByteStream
    extensions: MutableMapping[str, Any]


class Upstream:
    """A named server that requests are forwarded to.

    `accepts` is what is known of the members we add: from the table of known hosts,
    and learnt from its own refusals since the start. `mark` is what tells a loop:
    sent to hosts that could be ourselves, never to the known services.
    """

    def __init__(
        self,
        name: str,
        settings: UpstreamSettings,
        transport: httpx.AsyncBaseTransport,
        *,
        mark: bytes,
    ) -> None:
        url = httpx.URL(settings.url)
        self.name = name
        self.settings = settings
        self.transport = transport
        self.host: bytes = url.netloc
        self.accepts = accepts(url.host)
        self.mark = None if known(url.host) else mark
        key = settings.held_key()
        self.authorization = None if key is None else b"Bearer " + key
        self._learned: frozenset[str] = frozenset()
        self._origin = url.copy_with(path="/")
        self._base_path = url.raw_path.rstrip(b"/")

    async def send(
        self,
        method: str,
        suffix: bytes,
        query: bytes | None,
        *,
        headers: list[tuple[bytes, bytes]],
        body: bytes | httpx.AsyncByteStream,
    ) -> Reply:
        """Send one request; return when the head of its answer is here.

        Shapes: `suffix` goes behind the base path byte for byte, `query` behind that.
        Raises: `UpstreamError`, whatever the transport.
        """
        target = forwarded(self._base_path, suffix, query)
        if isinstance(self.transport, Transport):
            answer, ours, connection = await self.transport.exchange(
                self.transport.pool(self._origin),
                Outgoing(method, target, headers, body),
            )
            extensions = extensions_of(answer, connection)
            return Reply(answer.status, answer.headers, ours, extensions)
        request = httpx.Request(
            method,
            self._origin,
            headers=headers,
            stream=httpx.ByteStream(body) if isinstance(body, bytes) else body,
            extensions={"target": target},
        )
        response = await self.transport.handle_async_request(request)
        return Reply(
            response.status_code,
            response.headers.raw,
            # An async transport gives async streams, whatever httpx's type allows.
            cast("httpx.AsyncByteStream", response.stream),
            response.extensions,
        )

    def accepts_without(self, refused: frozenset[str]) -> Accepts:
        """Return what this upstream takes if it does not take these members."""
        return accepts(self._origin.host, self._learned | refused)

    def learn(self, refused: frozenset[str]) -> None:
        """Remember members that this upstream has refused."""
        self._learned |= refused
        self.accepts = accepts(self._origin.host, self._learned)
