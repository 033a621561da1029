"""Errors of httpx's own transport, in our classes."""

import ssl
from typing import Literal

import httpx

from proxy.upstream.errors import (
    RequestUnsendable,
    UpstreamConnectFailed,
    UpstreamConnectTimeout,
    UpstreamError,
    UpstreamFirstByteTimeout,
    UpstreamGone,
    UpstreamIdleTimeout,
    UpstreamPoolTimeout,
    UpstreamProtocolError,
    UpstreamTlsFailed,
    UpstreamTruncated,
)

Part = Literal["head", "body"]

# Read from the top: the first class that fits, by the part that was awaited.
TABLE: tuple[
    tuple[type[httpx.TransportError], type[UpstreamError], type[UpstreamError]], ...
] = (
    (httpx.ConnectTimeout, UpstreamConnectTimeout, UpstreamConnectTimeout),
    (httpx.PoolTimeout, UpstreamPoolTimeout, UpstreamPoolTimeout),
    (httpx.TimeoutException, UpstreamFirstByteTimeout, UpstreamIdleTimeout),
    (httpx.ConnectError, UpstreamConnectFailed, UpstreamConnectFailed),
    (httpx.NetworkError, UpstreamGone, UpstreamTruncated),
    (httpx.LocalProtocolError, RequestUnsendable, UpstreamProtocolError),
    (httpx.ProtocolError, UpstreamProtocolError, UpstreamTruncated),
    (httpx.ProxyError, UpstreamConnectFailed, UpstreamConnectFailed),
    (httpx.UnsupportedProtocol, RequestUnsendable, RequestUnsendable),
)
# httpcore's words for a connection that closed before the answer: no class says it.
GONE = "Server disconnected without sending a response"


def translate(exc: httpx.TransportError, *, part: Part) -> UpstreamError:
    """Return our error for httpx's, given the part of the answer that was awaited."""
    if isinstance(exc, UpstreamError):
        return exc
    message = str(exc) or type(exc).__name__
    if GONE in message:
        return UpstreamGone(message)
    if isinstance(exc, httpx.ConnectError) and _is_tls(exc):
        return UpstreamTlsFailed(message)
    for theirs, in_head, in_body in TABLE:
        if isinstance(exc, theirs):
            return (in_head if part == "head" else in_body)(message)
    return UpstreamError(message)


def _is_tls(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
