"""Which header pairs cross each hop, which are recorded, and what they ask of us.

Both directions lose what belongs to one connection (RFC 9110 §7.6.1) and everything
`Connection` names; only then ours is added, so that no sender can name our own pairs
away (H-36). What remains keeps its bytes, its order and its duplicates.

`x-forwarded-*`, `forwarded` and a client's `via` are not passed on, for nobody vouches
for them, and nothing takes their place (H-40). A mark against loops (wire.md 8.27), as
`via: 1.1 <mark>`, is given by the caller where a loop can be: towards hosts that
`proxy.hosts` does not know. Like Host it belongs to the hop and is no edit. The mark
names one process, so that a Spiritsafe may stand behind another; marks of others are
kept, so that a circle of two is seen as well.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

from proxy.errors import ControlError, HostError, LoopError
from storage.records import HeaderPairs

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

MARK_LEAD = b"spiritsafe-"

# H-35. `te` goes whole: we drop trailers (H-27), so we must not ask for them.
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"alt-svc",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
    }
)
# wire.md Appendix E, and what we write anew.
_NOT_UPSTREAM = _HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"expect",
    b"forwarded",
    b"via",
    b"x-real-ip",
}
_NOT_UPSTREAM_LEADS = (b"x-spiritsafe-", b"x-forwarded-", b"proxy-")
# Each may hold the caller's key, in the order in which it is looked for.
_CREDENTIALS = (b"authorization", b"api-key", b"x-api-key", b"x-goog-api-key")
_CREDENTIAL_PARAMETERS = frozenset({b"key", b"api-key", b"api_key"})

# S-01: what is recorded is an allow-list of full names (wire.md 1.5, 1.6, Appendix E).
_STAINLESS = (
    b"arch async custom-poll-interval helper helper-method lang os package-version "
    b"poll-helper raw-response read-timeout retry-count runtime runtime-version timeout"
)
_RECORDED = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"retry-after",
        b"retry-after-ms",
        b"server",
        b"traceparent",
        b"user-agent",
        b"apim-request-id",
        b"cf-ray",
        b"openai-beta",
        b"openai-model",
        b"openai-organization",
        b"openai-processing-ms",
        b"openai-project",
        b"openai-version",
        b"x-client-request-id",
        b"x-ms-region",
        b"x-request-id",
        b"x-should-retry",
        *(b"x-stainless-" + name for name in _STAINLESS.split()),
    }
)
_RECORDED_LEAD = b"x-ratelimit-"

_CONTROLS = frozenset(
    {
        b"x-spiritsafe-tags",
        b"x-spiritsafe-schema",
        b"x-spiritsafe-record",
        b"x-stainless-retry-count",
        b"content-encoding",
        b"content-type",
        b"accept-encoding",
    }
)

_KEEP_ALIVE = [b"keep-alive"]  # what nearly every peer says

_BEARER = re.compile(rb"\Abearer(?:[ \t]+|$)", re.IGNORECASE)
_SCHEMA = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:@[0-9]{1,9})?")


class Control(msgspec.Struct, frozen=True):
    """What a request's headers ask of us.

    Shapes: `encoding` is the request's content coding, `b""` for none; `json` says that
    the content type, or having none, lets it be JSON; `accept_encoding` is None where
    the client sent none.
    """

    tags: dict[str, str] = {}
    schema: str | None = None
    record: bool = True
    retry_count: int = 0
    encoding: bytes = b""
    json: bool = True
    accept_encoding: bytes | None = None

    @property
    def identity(self) -> bool:
        """Whether the upstream is asked for an answer without coding (H-63)."""
        return self.record and self.accept_encoding != b"identity"


def to_upstream(
    headers: Headers,
    *,
    host: bytes,
    content_length: int | None = None,
    identity: bool = False,
    authorization: bytes | None = None,
    via: bytes | None = None,
) -> list[tuple[bytes, bytes]]:
    """Return the pairs for the upstream: ours first and last, the client's between.

    Shapes: `host` is the upstream's authority; `content_length` None leaves framing to
    the transport; `identity` asks for an answer without coding; `authorization`, whole
    value, takes the place of every credential of the client; `via` is our mark.
    """
    kept: list[tuple[bytes, bytes]] = []
    named: list[bytes] = []
    marks: list[bytes] = []
    for pair in headers:
        name = pair[0].lower()
        if name not in _NOT_UPSTREAM:
            if not name.startswith(_NOT_UPSTREAM_LEADS):
                kept.append(pair)
        elif name == b"connection":
            named.append(pair[1])
        elif name == b"via":
            marks += _marks(pair[1])
    gone = _names(named)
    ours: list[tuple[bytes, bytes]] = []
    if authorization is not None:
        gone.update(_CREDENTIALS)
        ours.append((b"authorization", authorization))
    if identity:
        gone.add(b"accept-encoding")
        ours.append((b"accept-encoding", b"identity"))
    if content_length is not None:
        ours.append((b"content-length", b"%d" % content_length))
    if via is not None:
        ours += [(b"via", b"1.1 " + mark) for mark in (*marks, via)]
    return [(b"host", host), *_without(kept, gone), *ours]


def to_client(headers: Headers, ours: Headers = ()) -> list[tuple[bytes, bytes]]:
    """Return the upstream's pairs as the client gets them, with ours behind them.

    Shapes: names come out in lower case, as ASGI wants them. An `x-spiritsafe-…` of
    the upstream is dropped: those names say what this proxy did.
    """
    kept: list[tuple[bytes, bytes]] = []
    named: list[bytes] = []
    for spelled, value in headers:
        name = spelled.lower()
        if name not in _HOP_BY_HOP:
            if not name.startswith(b"x-spiritsafe-"):
                kept.append((name, value))
        elif name == b"connection":
            named.append(value)
    return [*_without(kept, _names(named)), *ours]


def admit(
    headers: list[tuple[bytes, bytes]], mark: bytes, *, version: str = "1.1"
) -> None:
    """Let a request in, or say why not.

    Shapes: names in lower case, as ASGI has them.
    Raises: `HostError` unless it names one host, as every request but one of HTTP/1.0
    must (H-39); `LoopError` where it bears our own mark and so has been here (H-40).
    """
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (not hosts and version != "1.0"):
        raise HostError("A request names its host once, in the header Host.")
    if b"via" in names and looped(headers, mark):
        raise LoopError(
            "This request has passed through this very process before: an upstream's "
            "base URL leads back here. Check `upstream` in the settings."
        )


def looped(headers: Headers, mark: bytes) -> bool:
    """Return whether a request bears our own mark: it has been here before (H-40)."""
    return any(
        mark in _marks(value) for name, value in headers if name.lower() == b"via"
    )


def recorded(headers: Headers) -> HeaderPairs:
    """Return the pairs that may be kept: those of an allow-list, never a credential."""
    return tuple(
        [
            pair
            for pair in headers
            if (name := pair[0].lower()) in _RECORDED or name.startswith(_RECORDED_LEAD)
        ]
    )


def control(headers: Headers) -> Control:
    """Return what the headers ask of us.

    Raises: `ControlError` where an `x-spiritsafe-…` header cannot be obeyed.
    """
    found: dict[bytes, bytes] = {}
    tags: dict[str, str] = {}
    for spelled, value in headers:
        name = spelled.lower()
        if name in _CONTROLS:
            found[name] = value
            if name == b"x-spiritsafe-tags":
                tags.update(_tags(value))
    get = found.get
    retries = get(b"x-stainless-retry-count", b"")
    return Control(
        tags,
        _schema(found),
        _record(found),
        int(retries) if retries.isdigit() and len(retries) < 5 else 0,
        get(b"content-encoding", b"").strip().lower(),
        _is_json(get(b"content-type", b"")),
        get(b"accept-encoding"),
    )


def _is_json(media_type: bytes) -> bool:
    return not media_type or b"json" in media_type.lower()


def credential(headers: Headers, query: bytes = b"") -> bytes | None:
    """Return the caller's key, or None; the same key for every way to send it.

    Shapes: `query` is the raw query string, read where no header holds a key. Of
    several headers `authorization` counts before `api-key`, `x-api-key` and
    `x-goog-api-key`; of one name the first.
    """
    found: dict[bytes, bytes] = {}
    for spelled, value in headers:
        name = spelled.lower()
        if name in _CREDENTIALS and value.strip():
            found.setdefault(name, value.strip())
    for name in _CREDENTIALS:
        if key := _BEARER.sub(b"", found.get(name, b"")):
            return key
    for pair in query.split(b"&") if query else ():
        name, _, value = pair.partition(b"=")
        if value and unquote_to_bytes(name).lower() in _CREDENTIAL_PARAMETERS:
            return unquote_to_bytes(value)
    return None


def _names(connection: list[bytes]) -> set[bytes]:
    """Return the header names that values of `Connection` hold, options aside."""
    if not connection or connection == _KEEP_ALIVE:
        return set()
    names = {name.strip().lower() for value in connection for name in value.split(b",")}
    return names - {b"close", b"keep-alive", b""}


def _without(
    pairs: list[tuple[bytes, bytes]], names: set[bytes]
) -> list[tuple[bytes, bytes]]:
    return [pair for pair in pairs if pair[0].lower() not in names] if names else pairs


def _marks(via: bytes) -> list[bytes]:
    tokens = [entry.split() for entry in via.split(b",")]
    return [
        words[1]
        for words in tokens
        if len(words) > 1 and words[1].startswith(MARK_LEAD)
    ]


def _tags(value: bytes) -> dict[str, str]:
    header = "x-spiritsafe-tags"
    try:
        text = value.decode()
    except UnicodeDecodeError as exc:
        raise ControlError(f"{header} is not UTF-8.", param=header) from exc
    tags: dict[str, str] = {}
    for pair in text.split(","):
        if not pair.strip():
            continue
        key, equals, said = (part.strip() for part in pair.partition("="))
        if not key or not equals or not (key + said).isprintable():
            raise ControlError(
                f"{header}: {pair.strip()!r} is no tag; write key=value,key=value.",
                param=header,
            )
        tags[key] = said
    return tags


def _schema(found: dict[bytes, bytes]) -> str | None:
    header = "x-spiritsafe-schema"
    value = found.get(header.encode())
    if value is None:
        return None
    if not _SCHEMA.fullmatch(value.strip()):
        said = value.decode("ascii", "backslashreplace")
        raise ControlError(
            f"{header}: {said!r} is no schema; write name or name@version.",
            param=header,
        )
    return value.strip().decode("ascii")


def _record(found: dict[bytes, bytes]) -> bool:
    header = "x-spiritsafe-record"
    value = found.get(header.encode(), b"on").strip().lower()
    if value not in {b"on", b"off"}:
        said = value.decode("ascii", "backslashreplace")
        raise ControlError(
            f"{header}: {said!r} is neither 'on' nor 'off'.", param=header
        )
    return value == b"on"
