"""Says how much work a schema can make, without judging anything by it.

A small document can unfold to 2^n schemas, and one that refers to itself can make that
of every level of an answer; jsonschema-rs can neither be stopped nor interrupted.
"""

import re
from math import inf

from msgspec import Struct

from proxy.schemas.document import REFERENCES, VALUES, Node, at, walk
from storage.records import Json

LIGHT_NODES = 2000
"""Schemas that a light one unfolds to: some 0.1 ms for one value (2026-11-21)."""

LIGHT_BYTES = 16 * 1024
"""Of a light document: reading it takes 1 ms."""

LIGHT_PATTERNS = 16
_LONG_COUNT = re.compile(r"\{\d*,?\d{3,}\}")
"""A counted repetition that makes a pattern large: `.{1,5000}` takes 6 ms."""

_DEFINITIONS = frozenset({"$defs", "definitions"})


class Weight(Struct, frozen=True):
    """What a schema unfolds to.

    Shapes: `nodes` counts the schemas with every reference followed, infinite where one
    leads back; `height` is the longest way through them, each taken once.
    """

    nodes: float
    height: int
    patterns: int = 0
    long_patterns: bool = False

    @property
    def recursive(self) -> bool:
        """Whether the depth of an answer decides about the work."""
        return self.nodes == inf

    @property
    def light(self) -> bool:
        """Whether compiling and judging can be done on the event loop."""
        return (
            self.nodes <= LIGHT_NODES
            and self.patterns <= LIGHT_PATTERNS
            and not self.long_patterns
        )


def weigh(schema: Json) -> Weight:
    """Return the weight of a checked document.

    >>> weigh({"properties": {"next": {"$ref": "#"}}}).recursive
    True
    """
    if not isinstance(schema, dict):
        return Weight(1, 1)
    nodes = list(walk(schema))
    patterns = [text for node in nodes for text in _patterns(node.schema)]
    long_patterns = any(_LONG_COUNT.search(text) for text in patterns)
    scale = _Scale(schema, nodes)
    try:
        unfolded, height = scale.weigh(schema)
    except RecursionError:  # a chain of hundreds of references
        unfolded, height = inf, len(nodes)
    return Weight(unfolded, height, len(patterns), long_patterns)


def _patterns(schema: dict[str, Json]) -> list[str]:
    named = schema.get("patternProperties")
    found = [*named] if isinstance(named, dict) else []
    pattern = schema.get("pattern")
    return [*found, pattern] if isinstance(pattern, str) else found


class _Scale:
    """Weighs every value of a document once."""

    def __init__(self, root: dict[str, Json], nodes: list[Node]) -> None:
        self._root = root
        self._plain = all(node.base == "" for node in nodes)
        self._known: dict[int, tuple[float, int]] = {}

    def weigh(self, value: Json) -> tuple[float, int]:
        if not isinstance(value, dict | list) or not value:
            return 1, 1
        known = self._known.get(id(value))
        if known is None:
            self._known[id(value)] = (inf, 0)  # met again on the way: it leads back
            below = [self.weigh(item) for item in self._below(value)]
            known = (
                1 + sum(nodes for nodes, _ in below),
                1 + max((height for _, height in below), default=0),
            )
            self._known[id(value)] = known
        return known

    def _below(self, value: Json) -> list[Json]:
        if isinstance(value, list):
            return value
        found = [
            item
            for name, item in value.items()
            if name not in _DEFINITIONS and name not in VALUES
        ]
        for keyword in REFERENCES:
            reference = value.get(keyword)
            if isinstance(reference, str):
                found.append(self._target(reference))
        return found

    def _target(self, reference: str) -> Json:
        """Return where a reference leads; the root, so to say back, where in doubt."""
        if self._plain and reference.startswith("#/"):
            found = at(self._root, reference[1:])
            if found is not None:
                return found
        return self._root
