"""Decides what a request target is, and what target goes upstream for it.

Decided on the bytes the client sent (`raw_path`), exactly: a path is captured only when
it is spelled like the endpoint, byte for byte. A path that only *reads* like a captured
one once it is decoded, folded to lower case and rid of doubled or trailing slashes
(`/v1/chat/completions/`, `/v1/chat%2Fcompletions`) is refused: an upstream might answer
it, and it would pass unrecorded. Dot segments, in any spelling, are refused everywhere.
What is forwarded is the upstream's base path, then the client's own bytes.
"""

import re
from collections.abc import Container
from typing import Literal
from urllib.parse import unquote_to_bytes

import msgspec

from proxy.errors import MethodError, NotFoundError, TargetError
from storage.records import Endpoint

_ENDPOINTS: dict[bytes, Endpoint] = {
    b"/chat/completions": "chat",
    b"/responses": "responses",
    b"/completions": "completions",
    b"/embeddings": "embeddings",
}
# Azure: the deployment stands in the path (wire.md 1.6), or `/openai/v1` is the base.
_AZURE = re.compile(
    rb"/openai/(?:v1|deployments/[A-Za-z0-9._~-]+)"
    rb"(/chat/completions|/responses|/completions|/embeddings)"
)
# What lies at and below the endpoints that upstreams also read back from, if they do.
_BELOW = re.compile(rb"(/chat/completions|/responses)((?:/[^/]++)*+)")
_BELOW_AZURE = re.compile(
    rb"/openai(?:/v1|/deployments/[A-Za-z0-9._~-]+)?"
    rb"(/chat/completions|/responses)((?:/[^/]++)*+)"
)
_CONVERSATION = re.compile(rb"/conversations[^/]*/+([^/;]+)", re.IGNORECASE)
NO_ID = frozenset({b"/compact", b"/input_tokens"})  # of responses: asked, not stored
_OWN = frozenset({b"healthz", b"readyz", b"metrics", b"api", b"console"})
_NEVER = frozenset({"CONNECT", "TRACE"})
_DEFAULT = "default"

_PLAIN = re.compile(rb"/[!-\"$->@-~]*")  # visible ASCII without `#` and `?`
# Only paths with one of these can hold a dot segment or read like another path.
_DOUBTFUL = re.compile(rb"[%\\;A-Z]|//|/\.|/$")


class Route(msgspec.Struct, frozen=True):
    """Where a request goes.

    Shapes: `endpoint` only where it is captured; `suffix` is what follows the
    upstream's base path, as the client wrote it; of an own path it is all of it.
    Where something recorded is read back, `below` follows the path of the endpoint;
    of a relayed path it is what `NO_ID` has, as that too may name a response.
    """

    kind: Literal["captured", "stored", "relay", "own"]
    upstream: str
    suffix: bytes
    endpoint: Endpoint | None = None
    below: bytes = b""


_SHORTEST = {
    b"/v1" + path: Route("captured", _DEFAULT, path, endpoint)
    for path, endpoint in _ENDPOINTS.items()
    if endpoint != "embeddings"
}


def route(
    method: str,
    raw_path: bytes,
    upstreams: Container[str],
    *,
    embeddings: bool = False,
) -> Route:
    """Return where a request goes.

    Shapes: `raw_path` is the request target up to its `?`; `upstreams` holds the names
    served at `/{name}/v1`; with `embeddings` those are captured too.
    Raises: `MethodError` for CONNECT and TRACE, `TargetError` for what is no path or
    an ambiguous one, `NotFoundError` for what nobody serves.
    """
    if method == "POST" and (found := _SHORTEST.get(raw_path)) is not None:
        return found
    if method in _NEVER:
        raise MethodError(f"{method} is not served here.")
    if not _PLAIN.fullmatch(raw_path):
        raise TargetError(
            "The request target is no plain path: it has to start with '/' and to be "
            "visible ASCII, with all else percent-encoded."
        )
    doubtful = _DOUBTFUL.search(raw_path) is not None
    if doubtful:
        _refuse_dots(raw_path)
    upstream, prefix, suffix = _split(raw_path, upstreams)
    if not upstream:
        return Route("own", "", suffix)
    endpoint = _endpoint(prefix, suffix)
    below = _below(prefix, suffix)
    if doubtful and endpoint is None and below is None:
        _refuse_alike(prefix, _normal(suffix))
    if below is not None and _reads_back(method, *below):
        return Route("stored", upstream, suffix, _ENDPOINTS[below[0]], below[1])
    if method != "POST" or (endpoint == "embeddings" and not embeddings):
        endpoint = None
    if endpoint:
        return Route("captured", upstream, suffix, endpoint)
    asked = below[1] if method == "POST" and below is not None else b""
    return Route("relay", upstream, suffix, None, asked)


def forwarded(base_path: bytes, suffix: bytes, query: bytes | None = None) -> bytes:
    """Return the target for the upstream: base path, suffix, query as it came (H-52).

    Shapes: `base_path` without a trailing slash; no query is None, an empty one `b""`.
    Raises: `TargetError` where the whole would start with `//`, which some servers
    read as an authority (H-54).

    >>> forwarded(b"/v1", b"/models/a%2Fb", b"x=%20")
    b'/v1/models/a%2Fb?x=%20'
    """
    path = base_path + suffix or b"/"
    if path.startswith(b"//"):
        raise TargetError("The path must not start with '//'.")
    return path if query is None else path + b"?" + query


def conversation_in(path: bytes) -> str:
    """Return the id of the conversation that a path names, however it is spelled.

    >>> conversation_in(b"/v1/Conversations//conv%5F1/items")
    'conv_1'
    """
    found = _CONVERSATION.search(unquote_to_bytes(path).replace(b"\\", b"/"))
    return found[1].decode("utf-8", "replace") if found else ""


def _split(raw_path: bytes, upstreams: Container[str]) -> tuple[str, bytes, bytes]:
    """Return upstream name, what stands before the suffix in our own paths, suffix."""
    first, slash, rest = raw_path[1:].partition(b"/")
    if first in _OWN:
        return "", b"", raw_path
    if first == b"v1":
        return _DEFAULT, b"v1", slash + rest
    name = first.decode("ascii")
    if name in upstreams:
        second, slash, below = rest.partition(b"/")
        if second == b"v1":
            return name, b"v1", slash + below
        if second == b"openai":
            return name, b"", b"/" + rest
    raise NotFoundError(
        "Nothing is served at this path: /v1/… goes to the default upstream, "
        "/{name}/v1/… to a named one."
    )


def _endpoint(prefix: bytes, suffix: bytes) -> Endpoint | None:
    if prefix:
        return _ENDPOINTS.get(suffix)
    found = _AZURE.fullmatch(suffix)
    return _ENDPOINTS[found[1]] if found else None


def _below(prefix: bytes, suffix: bytes) -> tuple[bytes, bytes] | None:
    """Return the path of an endpoint that is read back from, and what is below it."""
    found = (_BELOW if prefix else _BELOW_AZURE).fullmatch(suffix)
    return (found[1], found[2]) if found else None


def _reads_back(method: str, endpoint: bytes, below: bytes) -> bool:
    if method == "OPTIONS":
        return False
    if not below:  # there is no list of responses
        return method in {"GET", "HEAD"} and endpoint == b"/chat/completions"
    return not (method == "POST" and below in NO_ID)


def _refuse_alike(prefix: bytes, plain: bytes) -> None:
    """Raise where a path reads like one of ours that it is not spelled like."""
    if _endpoint(prefix, plain) or _below(prefix, plain):
        raise TargetError(
            "The path reads like a captured endpoint and is not spelled like it: "
            "write it without escapes, capitals, doubled or trailing slashes.",
            code="ambiguous_target",
        )


def _normal(suffix: bytes) -> bytes:
    plain = unquote_to_bytes(suffix).replace(b"\\", b"/").lower()
    segments = [part.partition(b";")[0].strip() for part in plain.split(b"/")]
    return b"/" + b"/".join(filter(None, segments))


def _refuse_dots(raw_path: bytes) -> None:
    """Raise where a segment means `.` or `..` to any server we know of (H-51)."""
    plain = unquote_to_bytes(raw_path).replace(b"\\", b"/")
    for segment in plain.split(b"/"):
        if segment.partition(b";")[0] in {b".", b".."}:
            raise TargetError("The path must not hold '.' or '..' segments.")
