"""One request out to a named upstream: where it is, how it is spoken to."""

from collections.abc import Awaitable
from typing import cast

import httpx

from proxy.hosts import Accepts, accepts, known, reads_back
from proxy.settings import UpstreamSettings
from proxy.targets import forwarded
from proxy.upstream.reply import Reply, Sender
from proxy.upstream.request import Lines
from proxy.upstream.transport import Direct, Transport


class HttpxSender:
    """Sends over any httpx transport: HTTP/2, outbound proxies, scripted ones."""

    def __init__(self, transport: httpx.AsyncBaseTransport, origin: httpx.URL) -> None:
        self._transport = transport
        self._origin = origin

    async def send(
        self,
        method: str,
        target: bytes,
        *,
        lines: Lines,
        body: bytes | httpx.AsyncByteStream,
    ) -> Reply:
        """Send one request, as `Sender` says."""
        request = httpx.Request(
            method,
            self._origin,
            headers=lines.pairs,
            stream=httpx.ByteStream(body) if isinstance(body, bytes) else body,
            extensions={"target": target},
        )
        response = await self._transport.handle_async_request(request)
        return Reply(
            response.status_code,
            response.headers.raw,
            # An async transport gives async streams, whatever httpx's type allows.
            cast("httpx.AsyncByteStream", response.stream),
            response.extensions,
        )


class Upstream:
    """A named server that requests are forwarded to.

    `accepts` is what is known of the members we add: from the table of known hosts,
    and learnt from its own refusals since the start. `mark` is what tells a loop:
    sent to hosts that could be ourselves, never to the known services. `reads_back`
    says that it is known to give stored responses back.
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
        self.reads_back = reads_back(url.host)
        self.mark = None if known(url.host) else mark
        key = settings.held_key()
        self.authorization = None if key is None else b"Bearer " + key
        self._learned: frozenset[str] = frozenset()
        self._origin = url.copy_with(path="/")
        self._sender: Sender = (
            Direct(transport, self._origin)
            if isinstance(transport, Transport)
            else HttpxSender(transport, self._origin)
        )
        self._base_path = url.raw_path.rstrip(b"/")

    def send(
        self,
        method: str,
        suffix: bytes,
        query: bytes | None,
        *,
        lines: Lines,
        body: bytes | httpx.AsyncByteStream,
    ) -> Awaitable[Reply]:
        """Send one request; the wait is over when the head of its answer is here.

        Shapes: `suffix` goes behind the base path byte for byte, `query` behind that.
        Raises: `UpstreamError`, whatever the transport.
        """
        target = forwarded(self._base_path, suffix, query)
        return self._sender.send(method, target, lines=lines, body=body)

    def accepts_without(self, refused: frozenset[str]) -> Accepts:
        """Return what this upstream takes if it does not take these members."""
        return accepts(self._origin.host, self._learned | refused)

    def learn(self, refused: frozenset[str]) -> None:
        """Remember members that this upstream has refused."""
        self._learned |= refused
        self.accepts = accepts(self._origin.host, self._learned)
