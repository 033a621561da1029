"""Decides which members are added to a request: `store: true`, and tags as `metadata`.

wire.md Appendix F in pure functions. Never lists a member that the client set, except
`metadata` with the client's pairs before ours.
"""

import re
from collections.abc import Collection, Mapping
from typing import Literal

import msgspec
import orjson

from proxy.hosts import Accepts
from storage.records import Endpoint, Json

# OpenAI's limits of `metadata` (wire.md 1.1).
MAX_PAIRS = 16
MAX_KEY_CHARACTERS = 64
MAX_VALUE_CHARACTERS = 512

LOOKED_AT = frozenset({"store", "metadata"})
"""The members that what is added depends on; where there are none it repeats."""

# Where an error body names a member (wire.md 1.4). `input` and `ctx`, which FastAPI
# adds, repeat the request and so name nothing.
_SAYING = frozenset({"message", "msg", "param", "detail", "error", "errors", "title"})
_READ_BYTES = 65536
_QUOTE = "[\"'`]"

_STRINGS = msgspec.json.Decoder(dict[str, str])
_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)


class Injection(msgspec.Struct, frozen=True):
    """What is added to one request, and the tags of its record.

    Shapes: `sets` maps members to JSON texts, empty where the body passes untouched;
    `tags` are always all, also those that did not go upstream; `dropped_tags` names
    those that found no room there.
    """

    sets: dict[str, bytes]
    tags: dict[str, str]
    dropped_tags: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


class _Client(msgspec.Struct, frozen=True):
    """The client's own `metadata`: its usable pairs, and what is wrong with it."""

    pairs: dict[str, str]
    doubt: str | None = None


def inject(
    members: Mapping[str, msgspec.Raw],
    *,
    endpoint: Endpoint,
    header_tags: Mapping[str, str],
    default_tags: Mapping[str, str],
    accepts: Accepts,
    mode: Literal["auto", "off"] = "auto",
) -> Injection:
    """Return what to add to a request with these top-level members.

    Shapes: tags of the client's `metadata` win over those of the header, these over
    the defaults; where the limits leave too little room, defaults are left out first,
    then tags of the header, never a pair of the client.
    """
    client = _client(members.get("metadata"))
    tags = {**default_tags, **header_tags, **client.pairs}
    flags = (f"edit_skipped={client.doubt}",) if client.doubt else ()
    if mode == "off" or endpoint not in {"chat", "responses"}:
        return Injection({}, tags, (), flags)
    sets: dict[str, bytes] = {}
    store = _text(members.get("store"))
    if endpoint == "chat":
        if not store and accepts.store is not False:
            sets["store"] = store = b"true"
        stored = store == b"true"
    else:
        stored = store != b"false"  # the Responses API stores by default (wire.md 4.1)
    if not stored or accepts.metadata is False or client.doubt:
        return Injection(sets, tags, (), flags)
    ours = {**header_tags, **default_tags, **header_tags}  # header first, and wins
    fitting, dropped = _fit(ours, client.pairs)
    if fitting:
        sets["metadata"] = _merged(members.get("metadata"), client.pairs, fitting)
    return Injection(sets, tags, dropped, flags)


def opted_out(members: Mapping[str, msgspec.Raw], endpoint: Endpoint) -> bool:
    """Return whether the client asked that nothing of this exchange be stored.

    An explicit null says so on chat completions too (wire.md F.2), where it means
    false; on the Responses API null means the default, and the default is true.
    """
    store = _text(members.get("store"))
    return store == b"false" or (endpoint == "chat" and store == b"null")


def refusals(status: int, body: bytes, added: Collection[str]) -> frozenset[str]:
    """Return which of the members we added an error answer names (wire.md 3.4).

    Shapes: `body` is an answer of status 400 or 422, decoded; `added` the names in
    `Injection.sets`. With `store` refused `metadata` falls too: neither is worth
    anything without the other on chat completions.
    """
    if status not in {400, 422} or not added or len(body) > _READ_BYTES:
        return frozenset()
    try:
        said = _statements(orjson.loads(body))
    except orjson.JSONDecodeError:
        said = [body.decode("utf-8", "replace")]
    refused = {name for name in added if any(_names(text, name) for text in said)}
    return frozenset(added) if "store" in refused else frozenset(refused)


def _statements(json: Json) -> list[str]:
    """Return the texts of an error body that say what is wrong, at any depth."""
    said: list[str] = []
    waiting: list[Json] = [json]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            said.append(value)
        elif isinstance(value, dict):
            where = value.get("loc")
            if isinstance(where, list):
                said.append(f"'{'.'.join(map(str, where))}'")
            waiting += [value[key] for key in value.keys() & _SAYING]
    return said


def _names(text: str, member: str) -> bool:
    # "'metadata' … only allowed when 'store' is enabled" refuses metadata, not store.
    text = re.sub(rf"only allowed when {_QUOTE}?store{_QUOTE}?", "", text)
    word = rf"(?:body\.)?{member}"
    return bool(
        text == member
        or re.search(rf"(?<!messages\.){_QUOTE}{word}(?:\.[\w-]+)?{_QUOTE}", text)
        or re.match(
            rf"{word}(?::| must | is not | is unsupported)", text, re.IGNORECASE
        )
        or re.search(
            r"(?:unknown|unsupported|unrecognized|unexpected|invalid|not supported|"
            r"not permitted|supplied|argument|parameter|field|property|key)s?:? "
            rf"{word}\b(?![-./\w])",
            text,
            re.IGNORECASE,
        )
    )


def _text(raw: msgspec.Raw | None) -> bytes:
    return b"" if raw is None else bytes(raw)


def _client(raw: msgspec.Raw | None) -> _Client:
    if raw is None:
        return _Client({})
    text = bytes(raw)
    if text == b"null":
        return _Client({})  # counts as absent (F.3)
    try:
        return _Client(_STRINGS.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _unusable(text)


def _unusable(text: bytes) -> _Client:
    try:
        values = _VALUES.decode(text)
    except msgspec.ValidationError:
        return _Client({}, "metadata_not_object")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Client({}, "metadata_not_strings")
    pairs: dict[str, str] = {}
    for key, value in values.items():
        try:
            pairs[key] = _STRING.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return _Client(pairs, "metadata_not_strings")


def _fit(
    ours: Mapping[str, str], theirs: Collection[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    fitting: dict[str, str] = {}
    dropped: list[str] = []
    room = MAX_PAIRS - len(theirs)
    for key, value in ours.items():
        if key in theirs:
            continue
        if (
            len(fitting) < room
            and 0 < len(key) <= MAX_KEY_CHARACTERS
            and len(value) <= MAX_VALUE_CHARACTERS
        ):
            fitting[key] = value
        else:
            dropped.append(key)
    return fitting, tuple(dropped)


def _merged(
    raw: msgspec.Raw | None, theirs: Mapping[str, str], ours: Mapping[str, str]
) -> bytes:
    added = orjson.dumps(ours)
    if raw is None or not theirs:
        return added
    return bytes(raw)[:-1] + b"," + added[1:]
