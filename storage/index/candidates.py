"""The rows that may match a filter, block by block, newest or oldest first."""

import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import msgspec
from pyroaring import BitMap

from storage.index import terms, texts
from storage.index.facets import ROWS
from storage.index.file import BLOCK_ROWS, TEXT_ROWS
from storage.index.pairs import Pair, evaluate
from storage.index.reader import Index
from storage.queries.tree import Both, Either, Except, Node, Term, Words

# A page is full after a few; who goes on gets more at once.
_LEAST_ROWS = 64
_FIRST_ROWS = 128
_MOST_ROWS = 2048
_JOIN_S = 0.05  # that the first of joined rows wait for more


class Block(msgspec.Struct, frozen=True):
    """Some rows that may match, in the order that was asked for.

    Shapes: `sure` is true where all do, else those that do: the others have to be
    looked at. No row up to `reached`, in this order, is told later; there may be none
    at all, so that who asks sees time pass.
    """

    seqs: Sequence[int]
    sure: bool | AbstractSet[int]
    reached: int


def blocks(
    index: Index,
    node: Node | None,
    *,
    projects: AbstractSet[str] | None,
    newest_first: bool,
    from_seq: int | None = None,
) -> Iterator[Block]:
    """Yield the rows that the index has and that may match; no other of them does.

    Shapes: `projects` are the fingerprints that may be seen, None for all; `from_seq`
    is the first row in this order that may be told. Rows behind `index.progress` are
    for the caller to look at. One state of the index is held until the end.
    """
    yield from _joined(
        _each(
            index,
            node,
            projects=projects,
            newest_first=newest_first,
            from_seq=from_seq,
        )
    )


def _each(
    index: Index,
    node: Node | None,
    *,
    projects: AbstractSet[str] | None,
    newest_first: bool,
    from_seq: int | None,
) -> Iterator[Block]:
    with index.reading() as unsure:
        ask = _Leaves(index)
        for first, end in _parts(index, node, from_seq, newest_first=newest_first):
            number = first // BLOCK_ROWS
            base = number * BLOCK_ROWS
            window = BitMap(range(first - base, end - base))
            here = BitMap(seq - base for seq in unsure if first <= seq < end)
            within = _seen(index, number, projects) & window
            found = Pair(within, within)
            if node is not None and within:
                found = evaluate(node, partial(ask, number), within)
            yield from _cut(found, here & within, base, newest_first=newest_first)
            yield Block((), sure=True, reached=first if newest_first else end - 1)


def _seen(index: Index, number: int, projects: AbstractSet[str] | None) -> BitMap:
    """Return the rows of a block that may be seen, and some beside where it has many.

    Whoever fetches rows looks at their project again; a row never changes it.
    """
    if projects is None:
        return index.one(ROWS, number, 0)
    seen = BitMap()
    for project in projects:
        own, shared = index.equal("project", number, project)
        seen |= own | shared
    return seen


class _Leaves:
    """Answers the comparisons of one filter, block after block."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._found: dict[Term, terms.Found] = {}

    def __call__(self, number: int, term: Term | Words, within: BitMap) -> Pair:
        """Return which rows of a block match, of those that are given."""
        if isinstance(term, Words):
            return texts.pair(self._index, term, number, within)
        found = self._found.get(term)
        if found is None:
            found = self._found[term] = terms.found(self._index, term)
        return found(number, within)


def _parts(
    index: Index, node: Node | None, from_seq: int | None, *, newest_first: bool
) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows, each within a block: smaller ones where words are asked."""
    step = TEXT_ROWS if node is not None and _has_words(node) else BLOCK_ROWS
    first, end = 0, index.progress.indexed + 1
    if from_seq is not None and newest_first:
        end = min(end, from_seq + 1)
    elif from_seq is not None:
        first = max(first, from_seq)
    starts: Sequence[int] = range(first // step * step, end, step)
    for start in reversed(starts) if newest_first else starts:
        if max(start, first) < end:
            yield max(start, first), min(start + step, end)


def _has_words(node: Node) -> bool:
    if isinstance(node, Both | Either):
        return any(map(_has_words, node.nodes))
    if isinstance(node, Except):
        return _has_words(node.node)
    return isinstance(node, Words)


def _cut(
    found: Pair, unsure: BitMap, base: int, *, newest_first: bool
) -> Iterator[Block]:
    """Yield a block's rows, a few first."""
    sure, maybe = found.sure - unsure, found.maybe | unsure
    lows = maybe.to_array()
    all_sure = len(sure) == len(maybe)
    done, size = 0, _FIRST_ROWS
    while done < len(lows):
        if newest_first:
            some = lows[max(len(lows) - done - size, 0) : len(lows) - done][::-1]
        else:
            some = lows[done : done + size]
        seqs = [base + low for low in some]
        its = all_sure or {base + low for low in some if low in sure}
        yield Block(seqs, its, seqs[-1])
        done += size
        size = min(2 * size, _MOST_ROWS)


def _joined(found: Iterator[Block]) -> Iterator[Block]:
    """Join small blocks: whoever looks at rows asks for many at once, but soon."""
    seqs: list[int] = []
    sure: set[int] = set()
    until_s, reached = 0.0, 0
    for block in found:
        if not seqs:
            if not block.seqs or len(block.seqs) >= _LEAST_ROWS:
                yield block
                continue
            until_s = time.monotonic() + _JOIN_S
        seqs += block.seqs
        sure |= _sure_of(block)
        reached = block.reached
        if len(seqs) >= _LEAST_ROWS or time.monotonic() > until_s:
            yield Block(seqs, len(sure) == len(seqs) or sure, reached)
            seqs, sure = [], set()
    if seqs:
        yield Block(seqs, len(sure) == len(seqs) or sure, reached)


def _sure_of(block: Block) -> AbstractSet[int]:
    if isinstance(block.sure, bool):
        return set(block.seqs) if block.sure else set()
    return block.sure
