"""What the proxy itself answers when it cannot or will not forward, typed by blame.

    SpiritsafeError
    ├── ClientError            400  the request broke a rule; the message says which
    │   ├── TargetError        400  the request target
    │   ├── HostError          400  no `Host`, two, or one that is none
    │   ├── WhoError           401  no key, or none that reads here
    │   ├── OriginError        403  a foreign page sent it
    │   ├── ForbiddenError     403  what is the operator's alone
    │   ├── ControlError       400  an `x-spiritsafe-…` header
    │   ├── ValueRefused       400  a query parameter or a member of a body
    │   ├── NotFoundError      404  no such route or upstream
    │   ├── MethodError        405  a method we never forward
    │   ├── UnderWayError      409  the exchange has not ended yet
    │   ├── BodyTimeoutError   408  the body came too slowly, or not to its end
    │   ├── HeadTimeoutError   408  the head did not come to its end
    │   ├── TooLargeError      413  a captured body over its limit
    │   ├── LongTargetError    414  a request target over its limit
    │   ├── ExpectationError   417  an `Expect` that nobody here can meet
    │   ├── UnknownHostError   421  a `Host` that is not ours
    │   ├── HeadTooLargeError  431  a request head over its limits
    │   ├── VersionError       505  a version of HTTP that is not spoken here
    │   └── LoopError          508  our own mark came back to us
    ├── MismatchError          502  the answer is not what its schema describes
    ├── BusyError              503  more at once than may be: come again
    ├── NotStoredError         503  storage fails, and `fail_closed` is set
    └── OwnError               500  a defect of ours

The upstream's failures live in `proxy/upstream/errors.py`; `answer` takes both.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol, TypeAlias

import orjson

from storage.writable import writable

Contacted: TypeAlias = Literal["yes", "no", "unknown"]

_RETRY_AFTER_S = b"1"


class Refusal(Protocol):
    """What `answer` needs of an error: ours, or one of the upstream's."""

    @property
    def status_hint(self) -> int:
        """Return the HTTP status that says it best."""

    @property
    def code(self) -> str:
        """Return the short name that programs compare."""

    @property
    def contacted(self) -> Contacted:
        """Return whether any byte of the request may have reached the upstream."""


class SpiritsafeError(Exception):
    """Root of what the proxy answers by itself; the upstream was not contacted."""

    status_hint: ClassVar[int] = 500
    contacted: ClassVar[Contacted] = "no"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.param = param  # the header or member at fault


class ClientError(SpiritsafeError):
    """The request broke a rule."""

    status_hint = 400
    default_code = "invalid_request"


class TargetError(ClientError):
    """The request target is no path we may forward."""

    default_code = "invalid_target"


class HostError(ClientError):
    """The request does not name one host."""

    default_code = "invalid_host"


class WhoError(ClientError):
    """The request does not say who reads, by a key or a token that is known."""

    status_hint = 401
    default_code = "invalid_api_key"


class OriginError(ClientError):
    """A web page that is not one of ours sent the request."""

    status_hint = 403
    default_code = "foreign_origin"


class ForbiddenError(ClientError):
    """The request asks for what only the operator may."""

    status_hint = 403
    default_code = "operator_only"


class UnknownHostError(ClientError):
    """The request names a host that this is not."""

    status_hint = 421
    default_code = "unknown_host"


class ControlError(ClientError):
    """An `x-spiritsafe-…` header says something we cannot do."""

    default_code = "invalid_control_header"


class ValueRefused(ClientError):
    """A query parameter or a member of a body says what cannot be."""

    default_code = "invalid_value"


class NotFoundError(ClientError):
    """Nothing is served at this path."""

    status_hint = 404
    default_code = "not_found"


class MethodError(ClientError):
    """The method is never forwarded."""

    status_hint = 405
    default_code = "method_not_allowed"


class UnderWayError(ClientError):
    """The exchange is still under way, and what is changed now would be lost."""

    status_hint = 409
    default_code = "under_way"


class BodyTimeoutError(ClientError):
    """The request body did not come in time."""

    status_hint = 408
    default_code = "request_timeout"


class HeadTimeoutError(ClientError):
    """The request head did not come in time."""

    status_hint = 408
    default_code = "request_timeout"


class TooLargeError(ClientError):
    """The request body is over its limit."""

    status_hint = 413
    default_code = "request_too_large"


class LongTargetError(ClientError):
    """The request target is over its limit."""

    status_hint = 414
    default_code = "target_too_long"


class HeadTooLargeError(ClientError):
    """The request head is over its limits."""

    status_hint = 431
    default_code = "head_too_large"


class ExpectationError(ClientError):
    """The request expects what we do not do."""

    status_hint = 417
    default_code = "expectation_failed"


class VersionError(ClientError):
    """The request speaks another HTTP."""

    status_hint = 505
    default_code = "http_version_not_supported"


class LoopError(ClientError):
    """The request has been through this process before."""

    status_hint = 508
    default_code = "loop_detected"


class BusyError(SpiritsafeError):
    """There is more under way than may be."""

    status_hint = 503
    default_code = "proxy_busy"


class NotStoredError(SpiritsafeError):
    """The exchange cannot be recorded, and the operator asked to refuse it then."""

    status_hint = 503
    default_code = "recorder_storage_failed"

    def __init__(self, message: str, *, code: str, contacted: Contacted) -> None:
        super().__init__(message, code=code)
        self.contacted = contacted  # type: ignore[misc]  # of the class elsewhere


class MismatchError(SpiritsafeError):
    """The upstream's answer is not what its schema describes, and that is enforced.

    Shapes: `faults` are told beside the message; they may quote the answer, which is
    the client's own.
    """

    status_hint = 502
    contacted = "yes"
    default_code = "answer_does_not_match_schema"

    def __init__(self, message: str, faults: Sequence[Mapping[str, str]]) -> None:
        super().__init__(message)
        self.faults = faults


class OwnError(SpiritsafeError):
    """A defect of ours."""


def not_stored(*, low: bool) -> NotStoredError:
    """Return the refusal of a request that would not be stored."""
    code = "recorder_storage_low" if low else "recorder_storage_failed"
    told = "the disk is nearly full" if low else "storage fails"
    return NotStoredError(
        f"nothing is forwarded while it cannot be recorded: {told}",
        code=code,
        contacted="no",
    )


def answer(error: Refusal) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body that tell this error to an OpenAI client.

    Shapes: `error` is an exception whose text is the message; `param` may be missing.
    Our 5xx say whether the upstream was contacted, `retry-after` comes only where it
    was not (H-81), and `x-should-retry: false` where the same request must fail again:
    SDKs repeat 408, 409, 429 and every 5xx by themselves (wire.md 1.7).
    """
    status = error.status_hint
    body = to_body(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-spiritsafe-error", error.code.encode("ascii", "replace")),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status >= 500:
        headers.append(
            (b"x-spiritsafe-upstream-contacted", error.contacted.encode("ascii"))
        )
    wrong_again = isinstance(error, ClientError) and status != 408
    if wrong_again or isinstance(error, MismatchError):
        headers.append((b"x-should-retry", b"false"))
    elif status in {502, 503, 504} and error.contacted == "no":
        headers.append((b"retry-after", _RETRY_AFTER_S))
    return status, headers, body


def to_body(error: Refusal) -> bytes:
    """Return the error as OpenAI's envelope, all four keys present (wire.md 1.4).

    A mismatch tells its faults beside them.
    """
    kind = "invalid_request_error" if isinstance(error, ClientError) else "server_error"
    told = {
        "message": writable(str(error)),
        "type": kind,
        "param": getattr(error, "param", None),
        "code": error.code,
    }
    if isinstance(error, MismatchError):
        told["faults"] = error.faults
    return orjson.dumps({"error": told})
