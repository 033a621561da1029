"""Reads a JSON Schema within bounds: size, depth, nodes, and every reference inside.

Source: reliability S-44. Nothing is ever fetched: what a document refers to has to
stand in it.
"""

from collections.abc import Iterator
from urllib.parse import unquote, urldefrag, urljoin

import msgspec

from proxy.schemas import strict
from storage.records import Json

MAX_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_NODES = 5000
MAX_PATTERN_CHARACTERS = 1000
MAX_INDEX_DIGITS = 9

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
BY_NAME = frozenset(
    {
        "$defs", "definitions", "dependencies", "dependentSchemas",
        "patternProperties", "properties",
    }
)  # fmt: skip
"""Keywords whose members are named by the author, with a schema under each."""

VALUES = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords under which no schema stands."""


class SchemaRefused(ValueError):
    """A document that is no schema, or none that is taken here.

    Shapes: `path` is a JSON pointer to the fault, "" for the whole.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Node(msgspec.Struct, frozen=True):
    """One schema of a document, and in which resource it stands.

    Shapes: `base` is the URI that its references start from, "" for the document's own.
    """

    schema: dict[str, Json]
    path: tuple[str | int, ...]
    base: str


def check(document: bytes) -> Json:
    """Return what a document says: an object or a boolean, within the bounds.

    Raises: `SchemaRefused`, with a pointer to what is wrong.

    >>> check(b'{"type": "object"}')
    {'type': 'object'}
    """
    schema = _read(document)
    _bound(schema)
    if isinstance(schema, dict):
        nodes = list(walk(schema))
        _check_patterns(nodes)
        _check_references(nodes)
    return schema


def walk(schema: dict[str, Json]) -> Iterator[Node]:
    """Yield every schema of a document, the outer before the inner.

    Shapes: what stands under an unknown keyword counts too, for a reference may lead
    there.
    """
    waiting: list[tuple[Json, tuple[str | int, ...], str, bool]] = [
        (schema, (), "", True)
    ]
    while waiting:
        value, path, base, is_schema = waiting.pop()
        if isinstance(value, list):
            waiting += [
                (item, (*path, index), base, True) for index, item in enumerate(value)
            ]
        elif isinstance(value, dict):
            if is_schema:
                base = _own_base(value, base)
                yield Node(value, path, base)
            waiting += [
                (item, (*path, name), base, not (is_schema and name in BY_NAME))
                for name, item in value.items()
                if not (is_schema and name in VALUES)
            ]


def _read(document: bytes) -> Json:
    if len(document) > MAX_BYTES:
        raise SchemaRefused(f"The schema has more than {MAX_BYTES // 1024} KiB.")
    try:
        schema = strict.read(document.decode())
    except strict.Unsound as error:
        raise SchemaRefused(str(error), error.faults[0].at) from None
    except UnicodeDecodeError:
        raise SchemaRefused("The schema is not UTF-8.") from None
    except ValueError as error:
        raise SchemaRefused(str(error)) from None
    except RecursionError:
        raise SchemaRefused(_TOO_DEEP) from None
    if not isinstance(schema, dict | bool):
        raise SchemaRefused("A schema is an object, or true or false.")
    return schema


def _bound(schema: Json) -> None:
    """Refuse more nodes or levels than are judged."""
    level: list[tuple[tuple[str | int, ...], Json]] = [((), schema)]
    depth = count = 0
    while level:
        count += len(level)
        if count > MAX_NODES:
            raise SchemaRefused(f"The schema has more than {MAX_NODES} values.")
        if depth > MAX_DEPTH:
            raise SchemaRefused(_TOO_DEEP, strict.pointer(list(level[0][0])))
        level = [
            ((*path, name), item)
            for path, value in level
            for name, item in _members(value)
        ]
        depth += 1


def _members(value: Json) -> list[tuple[str | int, Json]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _check_patterns(nodes: list[Node]) -> None:
    for node in nodes:
        patterns = node.schema.get("patternProperties")
        found = [("pattern", node.schema.get("pattern"))]
        if isinstance(patterns, dict):
            found += [("patternProperties", name) for name in patterns]
        for keyword, pattern in found:
            if isinstance(pattern, str) and len(pattern) > MAX_PATTERN_CHARACTERS:
                raise SchemaRefused(
                    f"The pattern has more than {MAX_PATTERN_CHARACTERS} characters.",
                    strict.pointer([*node.path, keyword]),
                )


def _check_references(nodes: list[Node]) -> None:
    """Refuse what refers outside of the document, or to what is not there."""
    resources: dict[str, Json] = {"": nodes[0].schema}
    for node in nodes:
        if node.base not in resources:
            resources[node.base] = node.schema
    for node in nodes:
        for keyword in REFERENCES:
            reference = node.schema.get(keyword)
            if isinstance(reference, str):
                fault = _fault(reference, node.base, resources)
                if fault:
                    raise SchemaRefused(fault, strict.pointer([*node.path, keyword]))


def _fault(reference: str, base: str, resources: dict[str, Json]) -> str:
    shown = reference[:100]
    try:
        whole = reference if not reference.startswith("#") else f"{base}{reference}"
        resource, fragment = urldefrag(urljoin(base, whole))
    except ValueError:
        return f"`{shown}` is no reference."
    if resource not in resources:
        return f"`{shown}` refers to something outside of the schema."
    if fragment.startswith("/") and at(resources[resource], fragment) is None:
        return f"`{shown}` refers to something that is not there."
    return ""  # an anchor: compiling finds what is missing


def at(value: Json, fragment: str) -> Json:
    """Return what a JSON pointer leads to, spelled as in a URI; None if to nothing."""
    for step in unquote(fragment).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and (index := _index(name)) < len(value):
            value = value[index]
        else:
            return None
    return value


def _index(step: str) -> int:
    """Return the index that a step of a pointer is, past all lists if it is none."""
    if not step.isdecimal() or len(step) > MAX_INDEX_DIGITS:
        return MAX_NODES
    return int(step)


def _own_base(schema: dict[str, Json], base: str) -> str:
    """Return the base inside of a schema: its own id counts, an anchor does not."""
    for keyword in ("$id", "id"):  # `id` is draft 4's
        name = schema.get(keyword)
        if isinstance(name, str) and name and not name.startswith("#"):
            try:
                return urldefrag(urljoin(base, name)).url
            except ValueError:
                return base
    return base


_TOO_DEEP = f"The schema nests deeper than {MAX_DEPTH} levels."
