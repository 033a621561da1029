"""Cuts a request body at the elements of its long arrays, byte-exactly.

A body that does not come back byte for byte from its pieces is not cut at all.
"""

import json
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

Member: TypeAlias = Literal["messages", "input", "tools"]

# An array this long is no conversation; its pieces would cost more than they save.
MAX_ELEMENTS = 100_000

_WHITE = b" \t\r\n"


class _Body(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


_body_decoder = msgspec.json.Decoder(_Body)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class Cut(msgspec.Struct, frozen=True):
    """Where the elements of one array go back into the skeleton.

    Units: `at` is a byte offset in the skeleton.
    """

    member: Member
    at: int
    separator: bytes
    elements: Sequence[bytes | msgspec.Raw]


class Split(msgspec.Struct, frozen=True):
    """A body without the elements of its arrays, and those, in body order."""

    skeleton: bytes
    cuts: tuple[Cut, ...] = ()


def split(body: bytes) -> Split:
    """Return the pieces of a body; one that cannot be cut cleanly has no cuts.

    Shapes: cut are top-level `messages` (or else `input`) and `tools`, where they are
    arrays with elements and the same separator between all of them.
    """
    try:
        found = _body_decoder.decode(body)
        arrays = _arrays(found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Split(body)
    spans: list[tuple[int, int, Member, bytes, list[msgspec.Raw]]] = []
    for member, array, elements in arrays:
        span = _span(body, array, elements)
        if span is not None:
            spans.append((span[0], span[1], member, span[2], elements))
    if not spans:
        return Split(body)
    spans.sort()
    result = _cut(body, spans)
    twice = any(_twice(result.skeleton, cut.member) for cut in result.cuts)
    if twice or join(result.skeleton, result.cuts) != body:
        return Split(body)
    return result


def join(skeleton: bytes, cuts: Sequence[Cut]) -> bytes:
    """Return the body that was split into this skeleton and these cuts.

    >>> whole = b'{"messages": [{"role":"user"}, 2], "n": 1}'
    >>> parts = split(whole)
    >>> parts.skeleton, join(parts.skeleton, parts.cuts) == whole
    (b'{"messages": [], "n": 1}', True)
    """
    pieces: list[bytes] = []
    start = 0
    for cut in cuts:
        pieces.append(skeleton[start : cut.at])
        pieces.append(cut.separator.join(cut.elements))
        start = cut.at
    pieces.append(skeleton[start:])
    return b"".join(pieces)


def _arrays(found: _Body) -> list[tuple[Member, bytes, list[msgspec.Raw]]]:
    wanted: list[tuple[Member, msgspec.Raw]] = [
        ("messages", found.messages),
        ("input", found.input),
        ("tools", found.tools),
    ]
    arrays: list[tuple[Member, bytes, list[msgspec.Raw]]] = []
    for member, raw in wanted:
        if bytes(memoryview(raw)[:1]) != b"[" or (member == "input" and arrays):
            continue
        array = bytes(raw)
        elements = _list_decoder.decode(array)
        if 0 < len(elements) <= MAX_ELEMENTS:
            arrays.append((member, array, elements))
    return arrays


def _span(
    body: bytes, array: bytes, elements: list[msgspec.Raw]
) -> tuple[int, int, bytes] | None:
    """Return where the elements start and end in the body, and their separator."""
    first = 1
    while array[first] in _WHITE:
        first += 1
    separator = b","
    if len(elements) > 1:
        end = first + len(memoryview(elements[0]))
        # An element starts with neither white space nor a comma.
        separator = array[end : array.find(bytes(elements[1]), end)]
    joined = separator.join(elements)
    if not array.startswith(joined, first):
        return None
    # Where the same array stands twice, either place gives the same bytes back.
    start = body.find(array) + first
    return start, start + len(joined), separator


def _cut(
    body: bytes, spans: list[tuple[int, int, Member, bytes, list[msgspec.Raw]]]
) -> Split:
    kept: list[bytes] = []
    cuts: list[Cut] = []
    start = at = 0
    for first, last, member, separator, elements in spans:
        kept.append(body[start:first])
        at += first - start
        cuts.append(Cut(member, at, separator, elements))
        start = last
    kept.append(body[start:])
    return Split(b"".join(kept), tuple(cuts))


def _twice(skeleton: bytes, member: Member) -> bool:
    """Return whether a top-level member is there more than once.

    Only a body that spells the word twice is looked at closely: a schema may.
    """
    if skeleton.count(b'"%b"' % member.encode()) < 2:
        return False
    top: list[str] = []

    def remember(pairs: list[tuple[str, object]]) -> None:
        top[:] = [key for key, _ in pairs]

    try:
        json.loads(skeleton, object_pairs_hook=remember)
    except (ValueError, RecursionError):
        return True
    return top.count(member) > 1
