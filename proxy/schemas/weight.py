"""Says how much work a schema can make, without judging anything by it.

A small document can unfold to 2^n schemas, and one that refers to itself can make that
of every level of an answer; jsonschema-rs can neither be stopped nor interrupted.
"""

from math import inf

from msgspec import Struct

from proxy.schemas.document import REFERENCES, VALUES, Node, at, walk
from proxy.schemas.patterns import compiling_us
from storage.records import Json

LIGHT_NODES = 2000
"""Schemas that a light one unfolds to: some 0.1 ms for one value (2026-11-21)."""

LIGHT_BYTES = 16 * 1024
"""Of a light document: reading it takes 1 ms."""

LIGHT_PATTERNS = 16
LIGHT_PATTERN_CHARACTERS = 4000
LIGHT_COMPILING_US = 2000
"""Of all patterns of a light document together: `.{1,5000}` takes 6 ms."""

_IN_PLACE = (
    "allOf", "anyOf", "contains", "dependencies", "dependentSchemas", "else", "if",
    "not", "oneOf", "patternProperties", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
)  # fmt: skip

_COUNTING = frozenset({"multipleOf", "uniqueItems"})

_DEFINITIONS = frozenset({"$defs", "definitions"})


class Weight(Struct, frozen=True):
    """What a schema unfolds to.

    Shapes: `nodes` counts the schemas with every reference followed, infinite where one
    leads back; `height` is the longest way through them, each taken once; `branches`
    counts those that judge a value which another one judges as well; `compiling_us` is
    what all patterns take together; `counts` says that numbers are divided or compared.
    """

    nodes: float
    height: int
    branches: float = 0
    patterns: int = 0
    compiling_us: float = 0
    counts: bool = False

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
            and self.compiling_us <= LIGHT_COMPILING_US
        )


BOUNDLESS = Weight(inf, 0, inf)
NOTHING = Weight(0, 0)


def weigh(schema: Json) -> Weight:
    """Return the weight of a checked document.

    >>> weigh({"properties": {"next": {"$ref": "#"}}}).recursive
    True
    """
    if not isinstance(schema, dict):
        return Weight(1, 1)
    nodes = list(walk(schema))
    patterns = [text for node in nodes for text in _patterns(node.schema)]
    compiling = _compiling_us(patterns)
    counts = any(not _COUNTING.isdisjoint(node.schema) for node in nodes)
    scale = _Scale(schema, nodes)
    try:
        unfolded, height, branches = scale.weigh(schema)
    except RecursionError:  # a chain of hundreds of references
        unfolded, height, branches = inf, len(nodes), inf
    return Weight(unfolded, height, branches, len(patterns), compiling, counts)


def _compiling_us(patterns: list[str]) -> float:
    """Return what all patterns take; very many are not even looked at."""
    characters = sum(map(len, patterns))
    if characters > LIGHT_PATTERN_CHARACTERS:
        return LIGHT_COMPILING_US + characters
    return sum(map(compiling_us, patterns))


def _patterns(schema: dict[str, Json]) -> list[str]:
    named = schema.get("patternProperties")
    found = [*named] if isinstance(named, dict) else []
    pattern = schema.get("pattern")
    return [*found, pattern] if isinstance(pattern, str) else found


def _branches(value: Json) -> int:
    """Return how many schemas judge the same value, right below a schema."""
    if not isinstance(value, dict):
        return 0
    inside = [value[keyword] for keyword in _IN_PLACE if keyword in value]
    return sum(len(it) if isinstance(it, dict | list) else 1 for it in inside)


class _Scale:
    """Weighs every value of a document once."""

    def __init__(self, root: dict[str, Json], nodes: list[Node]) -> None:
        self._root = root
        self._plain = all(node.base == "" for node in nodes)
        self._known: dict[int, tuple[float, int, float]] = {}

    def weigh(self, value: Json) -> tuple[float, int, float]:
        """Return nodes, height and branches of a value."""
        if not isinstance(value, dict | list) or not value:
            return 1, 1, 0
        known = self._known.get(id(value))
        if known is None:
            # Met again on the way, it leads back.
            self._known[id(value)] = (inf, 0, inf)
            below = [self.weigh(item) for item in self._below(value)]
            known = (
                1 + sum(nodes for nodes, _, _ in below),
                1 + max((height for _, height, _ in below), default=0),
                _branches(value) + sum(branches for _, _, branches in below),
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
