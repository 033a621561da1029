"""A second reading of JSON objects, by hand, to check the first against."""

from typing import NamedTuple

_SPACE = b" \t\n\r"


class Member(NamedTuple):
    """One top-level member: its key as spelled, and where key and value stand."""

    spelled: bytes
    key_start: int
    value_start: int
    value_end: int


def members(body: bytes) -> list[Member]:
    """Return the top-level members of an object that some parser took."""
    found: list[Member] = []
    at = _skip(body, 0)
    assert body[at : at + 1] == b"{"
    at = _skip(body, at + 1)
    while body[at : at + 1] != b"}":
        key_start, at = at, _string_end(body, at)
        spelled = body[key_start:at]
        at = _skip(body, at)
        assert body[at : at + 1] == b":"
        value_start = _skip(body, at + 1)
        value_end = _value_end(body, value_start)
        found.append(Member(spelled, key_start, value_start, value_end))
        at = _skip(body, value_end)
        if body[at : at + 1] == b",":
            at = _skip(body, at + 1)
    return found


def values(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return each key as spelled with the exact bytes of its value."""
    return [
        (member.spelled, body[member.value_start : member.value_end])
        for member in members(body)
    ]


def _skip(body: bytes, at: int) -> int:
    while body[at : at + 1] and body[at] in _SPACE:
        at += 1
    return at


def _string_end(body: bytes, at: int) -> int:
    assert body[at : at + 1] == b'"'
    at += 1
    while body[at] != ord('"'):
        at += 2 if body[at] == ord("\\") else 1
    return at + 1


def _value_end(body: bytes, at: int) -> int:
    depth = 0
    while True:
        byte = body[at : at + 1]
        if byte == b'"':
            at = _string_end(body, at)
            if not depth:
                return at
            continue
        if byte in (b"[", b"{"):
            depth += 1
        elif byte in (b"]", b"}"):
            depth -= 1
            if not depth:
                return at + 1
            if depth < 0:
                return at
        elif not depth and (byte in (b",", b"") or byte in _SPACE):
            return at
        at += 1
