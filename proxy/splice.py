"""Edits top-level members of a JSON object body and leaves every other byte alone.

A new member goes right after the opening brace, a member that is there already has its
value replaced where it stands: nothing else moves (design 3, wire.md F.6). Whatever
raises a doubt, such as two members of one name or bytes that are no JSON, is not
edited at all (reliability 3.8).
"""

import re
from collections.abc import Iterable, Mapping

import msgspec
import orjson

from storage.records import Edit

# A client names some 40 members. The decoder holds the interpreter lock, about 1 µs per
# member in large objects (2026-11-21), so this many block the loop for 4 ms (J-14).
MAX_MEMBERS = 4096
_SMALLEST_MEMBER_BYTES = len(b'"":0,')
_FEW_BYTES = MAX_MEMBERS * _SMALLEST_MEMBER_BYTES  # no longer body has too many

_SPACE = rb"[ \t\n\r]*+"
_KEY = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# All that stands between two values, or before the first.
_LEAD = re.compile(
    _SPACE + rb"[{,]" + _SPACE + _KEY + _SPACE + rb":" + _SPACE, re.DOTALL
)


class Members(msgspec.Struct, frozen=True):
    """The top-level members of a body, in order, each value as its exact bytes.

    Shapes: with a `doubt` the body must not be edited; `values` then holds what could
    be read, of duplicates the last.
    """

    values: dict[str, msgspec.Raw]
    doubt: str | None = None


class Spliced(msgspec.Struct, frozen=True):
    """A body after its edits; with a `doubt` it is the body that came in."""

    body: bytes
    doubt: str | None = None


class _Key:
    """One member's name; compared by identity, so that duplicates stay two."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class _ManyMembersError(Exception):
    """The object has more members than we read."""


def _to_key(_: type, text: str) -> _Key:
    return _Key(text)


# What decoding raises, and how the record names it.
_DOUBTS: dict[type[Exception], str] = {
    _ManyMembersError: "too_many_members",
    RecursionError: "too_deep",
    UnicodeDecodeError: "bad_utf8",
    msgspec.ValidationError: "not_object",
    msgspec.DecodeError: "not_json",
}
_RAISED = tuple(_DOUBTS)

_DECODER = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=_to_key)
_PLAIN = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read(body: bytes) -> Members:
    """Return the top-level members of a body, or why they cannot be edited.

    Never raises, whatever the bytes are.
    """
    try:
        if len(body) <= _FEW_BYTES:
            values = _PLAIN.decode(body)
            if _are_all(values, body):
                return Members(values)
        pairs = _decode(body)
    except _RAISED as exc:
        return Members({}, _DOUBTS[type(exc)])
    values = {key.text: value for key, value in pairs.items()}
    if len(values) < len(pairs):
        return Members(values, "duplicate_member")
    return Members(values)


def edit(body: bytes, members: Members, sets: Mapping[str, bytes]) -> bytes:
    """Return the body with these members set, all other bytes as they are.

    Shapes: `members` is `read(body)` without a doubt; `sets` maps names to JSON texts.
    """
    values = members.values
    fresh = {name: text for name, text in sets.items() if name not in values}
    if len(fresh) < len(sets):
        body = _replace(body, values, sets)
    return insert(body, members, spell(fresh))


def spell(sets: Mapping[str, bytes]) -> bytes:
    """Return members as they stand before others, each with a comma behind it."""
    return b"".join(
        [orjson.dumps(name) + b":" + text + b"," for name, text in sets.items()]
    )


def insert(body: bytes, members: Members, spelled: bytes) -> bytes:
    """Return the body with new members, as `spell` writes them, before its own."""
    if not spelled:
        return body
    if not members.values:
        spelled = spelled[:-1]
    start = body.index(b"{") + 1
    return b"".join((body[:start], spelled, memoryview(body)[start:]))


def apply(body: bytes, sets: Mapping[str, bytes]) -> Spliced:
    """Return the body with these members set, or as it came and the doubt.

    >>> apply(b'{"model": "m"}', {"store": b"true"}).body
    b'{"store":true,"model": "m"}'
    """
    if not sets:
        return Spliced(body)
    members = read(body)
    if members.doubt is not None:
        return Spliced(body, members.doubt)
    return Spliced(edit(body, members, sets))


def reapply(body: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the body that was sent, made again from the client's and its record."""
    sets = {made.member: made.value.encode() for made in edits if made.where == "body"}
    return apply(body, sets).body


def _are_all(values: Mapping[str, msgspec.Raw], body: bytes) -> bool:
    """Return whether a body has surely no other members: no room is left for one.

    Most are spelled without white space. Where a name stands twice only its last value
    is here, and names are never longer than as they are spelled.
    """
    told = sum(map(len, values)) + sum(map(len, values.values()))
    told += len(values) * len(b'"":,') + 1
    return len(body) - told < _SMALLEST_MEMBER_BYTES


def _decode(body: bytes) -> dict[_Key, msgspec.Raw]:
    if len(body) <= _FEW_BYTES:
        return _DECODER.decode(body)
    count = 0

    def counted(_: type, text: str) -> _Key:
        nonlocal count
        count += 1
        if count > MAX_MEMBERS:
            raise _ManyMembersError
        return _Key(text)

    return msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=counted).decode(body)


def _replace(
    body: bytes, values: Mapping[str, msgspec.Raw], sets: Mapping[str, bytes]
) -> bytes:
    parts: list[bytes | memoryview] = []
    view = memoryview(body)
    kept = at = 0
    for name, value in values.items():
        start = next(_LEAD.finditer(body, at)).end()
        at = start + len(value)
        if name in sets:
            parts += (view[kept:start], sets[name])
            kept = at
    parts.append(view[kept:])
    return b"".join(parts)
