"""What is added to a request, and what its record tells of that.

Decided once for all requests that ask alike and name none of its members themselves.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Literal

import msgspec

from proxy import inject, splice
from proxy.hosts import Accepts
from storage.records import Edit, Endpoint

MOST_REMEMBERED = 256
MOST_TAGS = 64
MOST_TAG_CHARACTERS = 4096
"""Of a caller's own: with more of them its way of asking is not remembered."""

_IDENTITY = Edit(where="header", member="accept-encoding", value="identity")


class Basis(msgspec.Struct, frozen=True):
    """All that decides what is added to a request, but for its body.

    Shapes: `identity` asks the upstream for an answer without coding.
    """

    endpoint: Endpoint
    header_tags: tuple[tuple[str, str], ...]
    default_tags: tuple[tuple[str, str], ...]
    accepts: Accepts
    mode: Literal["auto", "off"]
    identity: bool


class Additions(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to a request.

    Shapes: `sets`, the tags and `flags` as in `inject.Injection`, `sets` empty where
    the body is in doubt; `spelled` is `sets` as `splice.spell` writes them, `added` its
    names.
    """

    sets: Mapping[str, bytes]
    spelled: bytes
    edits: tuple[Edit, ...]
    added: frozenset[str]
    tags: dict[str, str]
    dropped_tags: tuple[str, ...]
    flags: tuple[str, ...]

    def onto(self, body: bytes, members: splice.Members) -> bytes:
        """Return the body as it is sent: the same object where nothing is added."""
        if self.added.isdisjoint(members.values):
            return splice.insert(body, members, self.spelled)
        return splice.edit(body, members, self.sets)


def decide(members: splice.Members, basis: Basis) -> Additions:
    """Return what to add to a body with these members."""
    if members.doubt is None and inject.LOOKED_AT.isdisjoint(members.values):
        tags = basis.header_tags
        size = sum(map(len, chain.from_iterable(tags)))
        if size <= MOST_TAG_CHARACTERS and len(tags) <= MOST_TAGS:
            return _usual(basis)
    return _decide(members, basis)


@lru_cache(MOST_REMEMBERED)
def _usual(basis: Basis) -> Additions:
    return _decide(splice.Members({}), basis)


def _decide(members: splice.Members, basis: Basis) -> Additions:
    injection = inject.inject(
        members.values,
        endpoint=basis.endpoint,
        header_tags=dict(basis.header_tags),
        default_tags=dict(basis.default_tags),
        accepts=basis.accepts,
        mode=basis.mode,
    )
    sets, flags = _without_doubt(injection, members.doubt)
    return Additions(
        sets=sets,
        spelled=splice.spell(sets),
        edits=_edits(sets, identity=basis.identity),
        added=frozenset(sets),
        tags=injection.tags,
        dropped_tags=injection.dropped_tags,
        flags=flags,
    )


def _without_doubt(
    injection: inject.Injection, doubt: str | None
) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    """Return what to set in the body and the flags; nothing is set in doubt."""
    if doubt is None or not injection.sets:
        return injection.sets, injection.flags
    return {}, (*injection.flags, f"edit_skipped={doubt}")


def _edits(sets: Mapping[str, bytes], *, identity: bool) -> tuple[Edit, ...]:
    edits = [
        Edit(where="body", member=name, value=text.decode())
        for name, text in sets.items()
    ]
    if identity:
        edits.append(_IDENTITY)
    return tuple(edits)
