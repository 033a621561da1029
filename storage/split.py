"""Cuts a request body at the elements of its long arrays, byte-exactly.

A body that does not come back byte for byte from its pieces is not cut at all.
"""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

Member: TypeAlias = Literal["messages", "input", "tools"]

# An array this long is no conversation; its pieces would cost more than they save.
MAX_ELEMENTS = 100_000

LARGE_BYTES = 1024 * 1024
"""From here on no copy is made only to compare: memory counts more than speed."""

_STEP_BYTES = 64 * 1024
_WHITE = re.compile(rb"[ \t\r\n]+")
_BETWEEN = re.compile(rb"[ \t\r\n,]+")
# By so much of its start an array is looked for: a search prepares all it looks for.
_HEAD_BYTES = 32
_BRACKET = ord("[")
_ABSENT = msgspec.Raw()
_QUOTED: dict[Member, bytes] = {
    "messages": b'"messages"', "input": b'"input"', "tools": b'"tools"',
}  # fmt: skip

_Span: TypeAlias = tuple[int, int, Member, bytes, list[msgspec.Raw]]


class _Body(msgspec.Struct, gc=False):
    messages: msgspec.Raw = _ABSENT
    input: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT


_body_decoder = msgspec.json.Decoder(_Body)
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


class Cut(msgspec.Struct, frozen=True, gc=False):
    """Where the elements of one array go back into the skeleton.

    Units: `at` is a byte offset in the skeleton.
    """

    member: Member
    at: int
    separator: bytes
    elements: Sequence[bytes | msgspec.Raw]


class Split(msgspec.Struct, frozen=True, gc=False):
    """A body without the elements of its arrays, and those, in body order."""

    skeleton: bytes
    cuts: tuple[Cut, ...] = ()


def split(body: bytes) -> Split:
    """Return the pieces of a body; one that cannot be cut cleanly has no cuts.

    Shapes: cut are top-level `messages` (or else `input`) and `tools`, where they are
    arrays with elements and the same separator between all of them.
    """
    spans: list[_Span] = []
    try:
        found = _body_decoder.decode(body)
        talk = found.input if found.messages is _ABSENT else found.messages
        member: Member = "input" if found.messages is _ABSENT else "messages"
        _find(body, member, talk, spans)
        if found.tools is not _ABSENT:
            _find(body, "tools", found.tools, spans)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Split(body)
    if not spans:
        return Split(body)
    spans.sort()
    result = _cut(body, spans)
    for cut in result.cuts:
        if _twice(result.skeleton, cut.member):
            return Split(body)
    if len(body) > LARGE_BYTES:  # each element was found in its place
        apart = all(one[1] <= other[0] for one, other in pairwise(spans))
        return result if apart else Split(body)
    return result if join(result.skeleton, result.cuts) == body else Split(body)


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


def _find(body: bytes, member: Member, raw: msgspec.Raw, spans: list[_Span]) -> None:
    """Add where an array's elements start and end in the body, if they can be cut."""
    if raw is _ABSENT or memoryview(raw)[0] != _BRACKET:
        return
    elements = _list_decoder.decode(raw)
    if not 0 < len(elements) <= MAX_ELEMENTS:
        return
    if len(raw) > LARGE_BYTES:
        _find_large(body, member, raw, elements, spans=spans)
        return
    array = bytes(raw)
    first = _skip(array, 1, _WHITE)
    separator = b","
    if len(elements) > 1:
        end = first + len(elements[0])
        separator = array[end : _skip(array, end, _BETWEEN)]
    joined = separator.join(elements)
    if array.startswith(joined, first):
        start = _place(body, array) + first
        spans.append((start, start + len(joined), member, separator, elements))


def _skip(data: bytes, at: int, these: re.Pattern[bytes]) -> int:
    """Return where a run of these bytes ends, if one starts here."""
    run = these.match(data, at)
    return at if run is None else run.end()


def _place(body: bytes, array: bytes) -> int:
    """Return where an array that is in the body stands first.

    Where it stands twice, either place gives the same bytes back.
    """
    at = body.find(array[:_HEAD_BYTES])
    return at if body.startswith(array, at) else body.find(array, at + 1)


def _find_large(
    body: bytes,
    member: Member,
    raw: msgspec.Raw,
    elements: list[msgspec.Raw],
    *,
    spans: list[_Span],
) -> None:
    """Do the same without a second copy of the array in memory."""
    start = _skip(body, body.find(raw) + 1, _WHITE)
    separator = b","
    if len(elements) > 1:
        end = start + len(elements[0])
        separator = body[end : _skip(body, end, _BETWEEN)]
    at = start
    for number, element in enumerate(elements):
        if number:
            if not body.startswith(separator, at):
                return
            at += len(separator)
        if not _same(body, at, element):
            return
        at += len(element)
    spans.append((start, at, member, separator, elements))


def _same(body: bytes, at: int, element: msgspec.Raw) -> bool:
    """Return whether an element stands at this place, comparing a little at a time."""
    view = memoryview(element)
    return all(
        body.startswith(bytes(view[start : start + _STEP_BYTES]), at + start)
        for start in range(0, len(view), _STEP_BYTES)
    )


def _cut(body: bytes, spans: list[_Span]) -> Split:
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
    if skeleton.count(_QUOTED[member]) < 2:
        return False
    top: list[str] = []

    def remember(pairs: list[tuple[str, object]]) -> None:
        top[:] = [key for key, _ in pairs]

    try:
        json.loads(skeleton, object_pairs_hook=remember)
    except (ValueError, RecursionError):
        return True
    return top.count(member) > 1
