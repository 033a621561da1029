"""Reads query strings and bodies of the stored-completions API; refuses all else.

Both official clients encode `metadata` as brackets, percent-encoded or not, and a
space as `+` or `%20` (wire.md 3.3).
"""

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias
from urllib.parse import unquote_to_bytes

import msgspec

from proxy.errors import ValueRefused
from proxy.inject import MAX_KEY_CHARACTERS, MAX_PAIRS, MAX_VALUE_CHARACTERS

MOST_AT_ONCE = 100
MAX_NAME_CHARACTERS = 1024
"""Of a model or an id: longer ones are not recorded as such."""

Order: TypeAlias = Literal["asc", "desc"]

_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,4}")
# What callers of Azure, and of servers that take keys in the query, send with all.
_BESIDE = frozenset({"api-version", "api-key", "api_key", "key"})
# Of responses: what they add to an answer is in ours if it was in the upstream's.
_INCLUDING = frozenset({"include", "include[]", "include_obfuscation"})

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRINGS = msgspec.json.Decoder(dict[str, str] | None)


class Paging(msgspec.Struct, frozen=True):
    """Which part of a list is asked for; `after` is the id of an item."""

    after: str | None = None
    limit: int = 20
    order: Order = "asc"


class Listing(msgspec.Struct, frozen=True):
    """Which completions are asked for; all of `metadata` has to be as it says."""

    paging: Paging
    model: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()


def read_listing(query: bytes | None) -> Listing:
    """Return what a list of completions is asked for.

    Raises: `ValueRefused`.
    """
    model: str | None = None
    metadata: list[tuple[str, str]] = []
    paging: dict[str, str] = {}
    for name, value in _pairs(query):
        found = _METADATA.fullmatch(name)
        if found:
            metadata.append((_key(found[1]), _value(value)))
        elif name == "model":
            model = _name(name, value)
        elif name != "metadata" or value:  # Node's client writes null as nothing
            _once(paging, name, value)
    if len(metadata) > MAX_PAIRS:
        raise _refused(
            "metadata",
            f"At most {MAX_PAIRS} pairs of metadata can be asked for.",
            code="object_above_max_properties",
        )
    return Listing(_paging(paging, order="asc"), model, tuple(metadata))


def read_paging(
    query: bytes | None, *, order: Order, including: bool = False
) -> Paging:
    """Return which part of a list is asked for.

    Shapes: `order` is that of a list where nothing is said; with `including` what a
    response's parameters add is let pass.
    Raises: `ValueRefused`.
    """
    said: dict[str, str] = {}
    for name, value in _pairs(query):
        if not including or name not in _INCLUDING:
            _once(said, name, value)
    return _paging(said, order=order)


def refuse_all(query: bytes | None, *, including: bool = False) -> None:
    """Let pass a query that asks nothing that we would have to do.

    Raises: `ValueRefused`.
    """
    for name, value in _pairs(query):
        plain = name == "stream" and value in {"", "false"}
        if not (including and (plain or name in _INCLUDING)):
            raise _unknown(name)


def read_metadata(body: bytes) -> dict[str, str]:
    """Return the metadata that an update sets: the whole of it, none for null.

    Raises: `ValueRefused`.
    """
    try:
        members = _OBJECT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueRefused("The body is no JSON object.", code="invalid_json") from exc
    for name in members:
        if name != "metadata":
            raise _unknown(name)
    if "metadata" not in members:
        raise _refused(
            "metadata",
            "Missing required parameter: 'metadata'.",
            code="missing_required_parameter",
        )
    try:
        pairs = _STRINGS.decode(members["metadata"]) or {}
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _refused(
            "metadata", "metadata has to be an object of strings.", code="invalid_type"
        ) from exc
    if len(pairs) > MAX_PAIRS:
        raise _refused(
            "metadata",
            f"metadata has at most {MAX_PAIRS} pairs, not {len(pairs)}.",
            code="object_above_max_properties",
        )
    return {_key(key): _value(value) for key, value in pairs.items()}


def read_path(below: bytes) -> list[str]:
    """Return the segments of a path below an endpoint; an id is the first.

    Raises: `ValueRefused`.

    >>> read_path(b"/chatcmpl-1%2F2/messages")
    ['chatcmpl-1/2', 'messages']
    """
    segments = below.split(b"/")[1:]
    return [_name("id", text_of(segment, "id")) for segment in segments]


def text_of(spelled: bytes, what: str) -> str:
    """Return percent-encoded bytes as the text they stand for.

    Raises: `ValueRefused` where that is no text: what is no UTF-8, or holds NUL.
    """
    try:
        text = unquote_to_bytes(spelled).decode()
    except UnicodeDecodeError as exc:
        raise _refused(what, f"{what} is no percent-encoded UTF-8.") from exc
    if "\0" in text:
        raise _refused(what, f"{what} holds the character NUL.")
    return text


def _pairs(query: bytes | None) -> Iterator[tuple[str, str]]:
    for pair in (query or b"").split(b"&"):
        if not pair:
            continue
        spelled, _, value = pair.replace(b"+", b" ").partition(b"=")
        name = text_of(spelled, "the query")
        if name not in _BESIDE:
            yield name, text_of(value, "the query")


def _once(said: dict[str, str], name: str, value: str) -> None:
    if name not in {"after", "limit", "order"}:
        raise _unknown(name)
    if name in said:
        raise _refused(name, f"{name} is said twice.")
    said[name] = value


def _paging(said: dict[str, str], *, order: Order) -> Paging:
    after = said.get("after")
    return Paging(
        _name("after", after) if after else None,
        _limit(said.get("limit")),
        _order(said.get("order"), order),
    )


def _limit(said: str | None) -> int:
    if said is None:
        return Paging().limit
    limit = int(said) if _NUMBER.fullmatch(said) else 0
    if not 1 <= limit <= MOST_AT_ONCE:
        raise _refused("limit", f"limit has to be a number from 1 to {MOST_AT_ONCE}.")
    return limit


def _order(said: str | None, otherwise: Order) -> Order:
    match said:
        case None:
            return otherwise
        case "asc" | "desc":
            return said
    raise _refused("order", "order has to be asc or desc.")


def _name(param: str, value: str) -> str:
    if len(value) > MAX_NAME_CHARACTERS:
        raise _refused(
            param, f"{param} is longer than {MAX_NAME_CHARACTERS} characters."
        )
    return value


def _key(key: str) -> str:
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or "\0" in key:
        raise _refused(
            "metadata",
            f"A key of metadata has 1 to {MAX_KEY_CHARACTERS} characters, none of them "
            "NUL.",
        )
    return key


def _value(value: str) -> str:
    if len(value) > MAX_VALUE_CHARACTERS or "\0" in value:
        raise _refused(
            "metadata",
            f"A value of metadata has at most {MAX_VALUE_CHARACTERS} characters, none "
            "of them NUL.",
        )
    return value


def _unknown(name: str) -> ValueRefused:
    shown = name if len(name) <= MAX_KEY_CHARACTERS else name[:61] + "..."
    return _refused(shown, f"Unknown parameter: {shown!r}.", code="unknown_parameter")


def _refused(param: str, message: str, *, code: str = "invalid_value") -> ValueRefused:
    return ValueRefused(message, code=code, param=param)
