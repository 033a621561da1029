"""What a comparison of the filter language means in bitmaps."""

from collections.abc import Callable
from typing import TypeAlias

from pyroaring import BitMap
from sqlalchemy import select

from storage.index.blocks import shared
from storage.index.buckets import LEVELS, from_on
from storage.index.facets import FACETS, THREAD, TOOL, Facet
from storage.index.file import BLOCK_ROWS
from storage.index.pairs import Pair
from storage.index.reader import Index
from storage.index.spans import between
from storage.queries.fields import Kind, field_of
from storage.queries.predicate import predicate
from storage.queries.tree import Term
from storage.statements import bound
from storage.tables import callers, exchanges

# With so few rows left it is cheaper to look at them than to read many bitmaps.
_FEW = 3

# An id that so many others start with is no id.
_MOST_NAMED = 256

_EVER = 2**62

Found: TypeAlias = Callable[[int, BitMap], Pair]
"""Which rows of a block, of those that are given, match a comparison."""


def found(index: Index, term: Term) -> Found:
    """Return what finds the rows of a comparison; what it needs is asked for now."""
    field = field_of(term.field)
    if field is None:
        return _all_may
    facets = FACETS.get(field.name, ())
    if field.kind in _MAKERS:
        return _MAKERS[field.kind](index, term)
    return lambda block, within: _any(index, facets, term, block, within=within)


def _all_may(_: int, within: BitMap) -> Pair:
    return Pair(BitMap(), within)


def _any(
    index: Index, facets: tuple[Facet, ...], term: Term, block: int, *, within: BitMap
) -> Pair:
    sure, maybe = BitMap(), BitMap()
    for facet in facets:
        if facet.bucketed:
            if len(within) <= _FEW:
                return _all_may(block, within)
            its = _number(index, facet.name, term, block)
        else:
            its = _label(index, facet.name, term, block)
        sure |= its.sure
        maybe |= its.maybe
    return Pair(sure, maybe)


def _label(index: Index, name: str, term: Term, block: int) -> Pair:
    if term.operator == "=":
        its, others = index.equal(name, block, term.value)
    else:
        its, others = index.compared(
            name, block, operator=term.operator, value=term.value
        )
    return Pair(its, its | others)


def _number(index: Index, name: str, term: Term, block: int) -> Pair:
    present = index.any(name + LEVELS[-1], block)
    if not isinstance(term.value, int):
        return Pair(BitMap(), present)
    reached = _at_least(index, name, term.value, block)
    if term.operator == ">=":
        return reached
    below = Pair(present - reached.maybe, present - reached.sure)
    if term.operator == "<":
        return below
    passed = _at_least(index, name, term.value + 1, block)
    if term.operator == ">":
        return passed
    up_to = Pair(present - passed.maybe, present - passed.sure)
    if term.operator == "<=":
        return up_to
    return Pair(reached.sure & up_to.sure, reached.maybe & up_to.maybe)


def _at_least(index: Index, field: str, least: int, block: int) -> Pair:
    cover, sure = from_on(least), BitMap()
    for ending, (first, end) in zip(LEVELS, cover.ranges, strict=True):
        for found in index.buckets(field + ending, block, first=first, end=end):
            sure |= found
    if cover.torn is None:
        return Pair(sure, sure)
    return Pair(sure, sure | index.one(field, block, cover.torn))


def _tagged(index: Index, term: Term) -> Found:
    return lambda block, _: _label(index, term.field, term, block)


def _called(index: Index, term: Term) -> Found:
    def find(block: int, within: BitMap) -> Pair:
        its = _label(index, TOOL, term, block)
        return Pair(its.sure, its.maybe | index.unworded(block, within))

    return find


def _time(index: Index, term: Term) -> Found:
    at = term.value
    if not isinstance(at, int):
        return _all_may
    first, last = {
        ">": (at + 1, _EVER),
        ">=": (at, _EVER),
        "<": (-_EVER, at - 1),
        "<=": (-_EVER, at),
    }.get(term.operator, (at, at))
    return lambda block, _: Pair(*between(index.connection, block, first, last))


def _named(index: Index, term: Term) -> Found:
    query = select(exchanges.c.seq).where(predicate(term)).limit(_MOST_NAMED + 1)
    seqs = [seq for (seq,) in index.main.execute(*bound(query))]
    if len(seqs) > _MOST_NAMED:
        return _all_may

    def find(block: int, _: BitMap) -> Pair:
        base = block * BLOCK_ROWS
        lows = BitMap(seq - base for seq in seqs if 0 <= seq - base < BLOCK_ROWS)
        return Pair(lows, lows)

    return find


def _threaded(index: Index, term: Term) -> Found:
    named = predicate(Term("id", "=", term.value))
    query = select(exchanges.c.thread).distinct().where(named).limit(_MOST_NAMED + 1)
    roots = [root for (root,) in index.main.execute(*bound(query))]
    if len(roots) > _MOST_NAMED:
        return _all_may

    def find(block: int, _: BitMap) -> Pair:
        first = block * BLOCK_ROWS
        lows = BitMap(root - first for root in roots if 0 <= root - first < BLOCK_ROWS)
        for root in {shared(root) for root in roots}:
            lows |= index.one(THREAD, block, root)
        return Pair(BitMap(), lows)

    return find


def _project(index: Index, term: Term) -> Found:
    if term.operator != "=":
        return _all_may
    query = select(callers.c.fingerprint, callers.c.project)
    known = dict(index.main.execute(*bound(query)).fetchall())
    wanted = [finger for finger, its in known.items() if its == term.value]
    if term.value not in known:
        wanted.append(str(term.value))  # a key that no project was given to

    def find(block: int, _: BitMap) -> Pair:
        sure, maybe = BitMap(), BitMap()
        for finger in wanted:
            its, others = index.equal("project", block, finger)
            sure |= its
            maybe |= others
        return Pair(sure, sure | maybe)

    return find


_MAKERS: dict[Kind, Callable[[Index, Term], Found]] = {
    "tag": _tagged,
    "tool": _called,
    "time": _time,
    "id": _named,
    "thread": _threaded,
    "project": _project,
}
