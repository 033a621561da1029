"""What can go wrong between us and an upstream, and who has heard of the request.

httpx.TransportError
└── UpstreamError                 contacted, status_hint, code
    ├── RequestUnsendable         502 request_unsendable: we cannot frame it
    ├── UpstreamPoolTimeout       503 upstream_pool_timeout: no free connection
    ├── UpstreamConnectFailed     502 upstream_connect_failed: DNS, refused
    ├── UpstreamTlsFailed         502 upstream_tls_failed: handshake, certificate
    ├── UpstreamConnectTimeout    504 upstream_connect_timeout
    ├── UpstreamGone              502 upstream_gone: closed without an answer
    ├── UpstreamFirstByteTimeout  504 upstream_first_byte_timeout
    ├── UpstreamProtocolError     502 upstream_protocol_error: not HTTP/1.1, hostile
    ├── UpstreamTruncated         502 upstream_truncated: ended before its end
    └── UpstreamIdleTimeout       504 upstream_idle_timeout: fell silent in the body
"""

from typing import ClassVar, Literal

import httpx

Contact = Literal["yes", "no", "unknown"]


class UpstreamError(httpx.TransportError):
    """No whole answer came; `contacted` says whether a byte of the request left us.

    Shapes: `contacted` is "no" before the first byte was written, "yes" once a byte
    came back, and "unknown" between the two (reliability H-81).
    """

    code: ClassVar[str] = "upstream_error"
    status_hint: ClassVar[int] = 502
    contacted: Contact = "unknown"

    def __init__(self, message: str, *, contacted: Contact | None = None) -> None:
        super().__init__(message)
        if contacted is not None:
            self.contacted = contacted


class RequestUnsendable(UpstreamError):
    """The request cannot be framed as one HTTP/1.1 message; the fault is ours."""

    code = "request_unsendable"
    contacted: Contact = "no"


class UpstreamPoolTimeout(UpstreamError):
    """Every connection stayed in use for `pool_timeout_s`."""

    code = "upstream_pool_timeout"
    status_hint = 503
    contacted: Contact = "no"


class UpstreamConnectFailed(UpstreamError):
    """The name did not resolve, or no address accepted a connection."""

    code = "upstream_connect_failed"
    contacted: Contact = "no"


class UpstreamTlsFailed(UpstreamError):
    """TCP connected and TLS did not: certificate, protocol version, broken off."""

    code = "upstream_tls_failed"
    contacted: Contact = "no"


class UpstreamConnectTimeout(UpstreamError):
    """No connection, TLS included, within `connect_timeout_s`."""

    code = "upstream_connect_timeout"
    status_hint = 504
    contacted: Contact = "no"


class UpstreamGone(UpstreamError):
    """The connection closed after the request was written and before any answer."""

    code = "upstream_gone"


class UpstreamFirstByteTimeout(UpstreamError):
    """The request was written and no answer began within `first_byte_timeout_s`."""

    code = "upstream_first_byte_timeout"
    status_hint = 504


class UpstreamProtocolError(UpstreamError):
    """What came back cannot be trusted to be one HTTP/1.1 answer."""

    code = "upstream_protocol_error"
    contacted: Contact = "yes"


class UpstreamTruncated(UpstreamError):
    """The answer began and the connection closed before its declared end."""

    code = "upstream_truncated"
    contacted: Contact = "yes"


class UpstreamIdleTimeout(UpstreamError):
    """The answer began and then nothing came for `idle_timeout_s`."""

    code = "upstream_idle_timeout"
    status_hint = 504
    contacted: Contact = "yes"
