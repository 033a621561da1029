"""Filters over sets of rows, where an answer is yes, no, or to be looked at."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from pyroaring import BitMap

from storage.queries.tree import Both, Either, Except, Node, Term, Words


class Pair(NamedTuple):
    """Rows that surely match, and those that may: the sure ones are among them."""

    sure: BitMap
    maybe: BitMap


Leaf: TypeAlias = Callable[[Term | Words, BitMap], Pair]


def evaluate(node: Node, leaf: Leaf, within: BitMap) -> Pair:
    """Return what of these rows matches a filter.

    Shapes: `leaf` answers one comparison, for the rows that it is given.
    """
    if isinstance(node, Both):
        return _both(node.nodes, leaf, within)
    if isinstance(node, Either):
        either = [evaluate(one, leaf, within) for one in node.nodes]
        return Pair(
            BitMap.union(*(one.sure for one in either)),
            BitMap.union(*(one.maybe for one in either)),
        )
    if isinstance(node, Except):
        found = evaluate(node.node, leaf, within)
        return Pair(within - found.maybe, within - found.sure)
    found = leaf(node, within)
    return Pair(found.sure & within, found.maybe & within)


def _both(nodes: tuple[Node, ...], leaf: Leaf, within: BitMap) -> Pair:
    sure = within
    for node in sorted(nodes, key=_cost):
        found = evaluate(node, leaf, within)
        sure, within = sure & found.sure, within & found.maybe
        if not within:
            break  # the dearer ones need not be asked
    return Pair(sure & within, within)


def _cost(node: Node) -> int:
    if isinstance(node, Both | Either):
        return max(map(_cost, node.nodes), default=0)
    if isinstance(node, Except):
        return _cost(node.node)
    if isinstance(node, Words):
        return 2
    return 0 if node.operator == "=" else 1
