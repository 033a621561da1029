"""From an upstream's settings to its transport: ours, or httpx's with our errors."""

from collections.abc import AsyncIterator

import httpx

from proxy.settings import UpstreamSettings
from proxy.upstream.limits import Limits
from proxy.upstream.request import WITH_CONTENT
from proxy.upstream.translation import translate
from proxy.upstream.transport import Transport, verifying_context


def open_transport(settings: UpstreamSettings) -> httpx.AsyncBaseTransport:
    """Return the transport that these settings ask for; it reads no environment.

    Raises: `ValueError` where the outbound proxy is of a kind that is not there.
    """
    limits = Limits.of(settings)
    context = None
    if settings.url.startswith("https:") or settings.transport == "httpx":
        context = verifying_context(str(settings.ca_file) if settings.ca_file else None)
    if settings.transport == "own":
        return Transport(limits=limits, ssl_context=context)
    try:
        theirs = httpx.AsyncHTTPTransport(
            verify=context if context is not None else True,
            trust_env=False,
            http2=settings.http2,
            limits=httpx.Limits(
                max_connections=limits.max_connections,
                max_keepalive_connections=limits.max_connections,
                keepalive_expiry=limits.idle_expiry_s,
            ),
            proxy=settings.proxy,
            retries=0,
        )
    except ImportError as exc:  # httpx's answer to a SOCKS proxy
        raise ValueError(
            f"upstream {settings.url}: a SOCKS proxy needs the package socksio: "
            "'pip install socksio' beside spiritsafe, or name an http:// proxy"
        ) from exc
    return Translated(theirs, limits)


class Translated(httpx.AsyncBaseTransport):
    """Another transport under our deadlines, its errors in our classes."""

    def __init__(self, inner: httpx.AsyncBaseTransport, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the inner transport's answer."""
        waits_s = {
            "connect": self._limits.connect_timeout_s,
            "pool": self._limits.pool_timeout_s,
            "read": self._limits.first_byte_timeout_s,
            "write": self._limits.first_byte_timeout_s,
        }
        try:
            response = await self._inner.handle_async_request(_framed(request, waits_s))
        except httpx.TransportError as exc:
            raise translate(exc, part="head") from exc
        # httpcore looks here again when it reads the body.
        waits_s["read"] = self._limits.idle_timeout_s
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = TranslatedStream(response.stream)
        return response

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def _framed(request: httpx.Request, waits_s: dict[str, float]) -> httpx.Request:
    """Return the request with deadlines and, where it has none, a framing header."""
    pairs = request.headers.raw
    names = {name.lower() for name, _ in pairs}
    if names.isdisjoint((b"content-length", b"transfer-encoding")):
        if not isinstance(request.stream, httpx.ByteStream):
            pairs.append((b"transfer-encoding", b"chunked"))
        elif (body := b"".join(request.stream)) or request.method in WITH_CONTENT:
            pairs.append((b"content-length", b"%d" % len(body)))
    return httpx.Request(
        request.method,
        request.url,
        headers=pairs,
        stream=request.stream,
        extensions={**request.extensions, "timeout": waits_s},
    )


class TranslatedStream(httpx.AsyncByteStream):
    """Another transport's body, its errors in our classes."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx.TransportError as exc:
            raise translate(exc, part="body") from exc

    async def aclose(self) -> None:
        """Close the inner stream."""
        await self._inner.aclose()
