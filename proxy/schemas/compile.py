r"""Compiles schemas, once per document, and tells where a value breaks one.

The home of jsonschema-rs: patterns run in its linear-time engine only, nothing is ever
fetched, and `format` is a note and no rule, as the drafts have it. A server that judges
nothing does without it: 5 MiB.
"""

from itertools import islice
from typing import Protocol

from msgspec import Struct

from proxy.schemas import document, strict
from proxy.schemas.document import SchemaRefused
from proxy.schemas.weight import BOUNDLESS, LIGHT_BYTES, NOTHING, Weight, weigh
from storage.records import Fault, Json

KEPT_SCHEMAS = 512
"""Read or compiled ones at a time."""

KEPT_BYTES = 64 * 1024 * 1024
"""Of their memory, as estimated."""

BYTES_PER_CHARACTER = 32
"""Of a document, compiled; measured 2026-11-21, as `BYTES_PER_US`."""

BYTES_PER_US = 300
"""Of compiling a pattern: what it takes time for takes memory too."""

PATTERN_BYTES = 4 * 1024 * 1024
"""Of a compiled pattern: `.{1,5000}` takes half of it."""

MAX_LEVELS = 8000
"""Levels of the answer times those of the schema. The library goes down both on the
machine's stack, and 54 000 levels end the process (0.60, 8 MiB of stack)."""

_NO_PATTERN = ' is not a "regex"'
_PATTERNS_ARE = (
    "is broken, too large, or none that runs in linear time: no look-around, no "
    "references back."
)


class _Error(Protocol):
    """What the library says of a fault; its own type comes with it."""

    message: str
    instance_path: list[str | int]
    schema_path: list[str | int]


def load() -> None:
    """Load the library, for the first to compile does that; 20 ms, so in a thread."""
    import jsonschema_rs  # noqa: F401  to have it is all


class Compiled:
    """One schema, ready to judge."""

    def __init__(self, schema: Json, weight: Weight | None = None) -> None:
        import jsonschema_rs

        weight = weight or weigh(schema)
        self._levels = weight.height if weight.recursive else 0
        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                offline=True,
                pattern_options=jsonschema_rs.RegexOptions(
                    size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES
                ),
                validate_formats=False,
            )
        except jsonschema_rs.ValidationError as error:
            raise _refusal(error) from None
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            raise SchemaRefused(_cut(str(error))) from None

    def holds(self, value: Json) -> bool:
        """Return whether a value is what the schema describes.

        Raises: `RecursionError` where answer and schema nest too deep together.
        """
        if self._levels and self._levels * _depth(value) > MAX_LEVELS:
            raise RecursionError
        return self._validator.is_valid(value)

    def faults(self, value: Json, most: int = strict.MAX_FAULTS) -> tuple[Fault, ...]:
        """Return the first faults of a value, none where it is valid.

        Raises: as `holds`.
        """
        return () if self.holds(value) else self.listed(value, most)

    def listed(self, value: Json, most: int) -> tuple[Fault, ...]:
        """Return the first faults of a value that does not hold.

        Shapes: the library makes all faults before it tells the first, so of what may
        have very many only one is worth its price.
        """
        import jsonschema_rs

        if most > 1:
            errors = self._validator.iter_errors(value)
            return tuple(_fault(error) for error in islice(errors, most))
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return (_fault(error),)
        return ()  # pragma: no cover  it did not hold


class Entry(Struct):
    """What is known of a document: that it is refused, or what it weighs and more.

    Shapes: `refused` is message and pointer; a raised error would hold its frames.
    """

    refused: tuple[str, str] | None = None
    schema: Json = None
    weight: Weight = Weight(1, 1)
    compiled: Compiled | None = None
    size_bytes: int = 0


class Compiler:
    """Compiled schemas by the digest of their document, the least used let go."""

    def __init__(self, kept: int = KEPT_SCHEMAS, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._size_bytes = 0
        self._known: dict[bytes, Entry] = {}

    def compiled(self, digest: bytes, text: bytes) -> Compiled:
        """Return the compiled schema of a document.

        Raises: `SchemaRefused`, also from the second time on.
        """
        entry = self._entry(digest, text)
        if entry.compiled is not None:
            return entry.compiled
        if entry.refused is not None:
            raise SchemaRefused(*entry.refused)
        try:
            entry.compiled = Compiled(entry.schema, entry.weight)
        except SchemaRefused as refused:
            entry.refused = refused.message, refused.path
            entry.schema = None
            raise
        entry.schema = None  # kept where it failed otherwise, for another time
        return entry.compiled

    def is_ready(self, digest: bytes) -> bool:
        """Return whether there is nothing to read or compile for a document."""
        entry = self._known.get(digest)
        return entry is not None and (entry.compiled or entry.refused) is not None

    def weight(self, digest: bytes, text: bytes) -> Weight:
        """Return what a document weighs; one that is refused weighs nothing.

        Shapes: a long one that is not known is not even read, and has no bounds.
        """
        if len(text) > LIGHT_BYTES and digest not in self._known:
            return BOUNDLESS
        entry = self._entry(digest, text)
        return NOTHING if entry.refused is not None else entry.weight

    def _entry(self, digest: bytes, text: bytes) -> Entry:
        entry = self._known.pop(digest, None)
        if entry is None:
            entry = _read(text)
            self._size_bytes += entry.size_bytes
        self._known[digest] = entry  # now the last to go
        while len(self._known) > self._kept or (
            self._size_bytes > self._kept_bytes and len(self._known) > 1
        ):
            least_used = self._known.pop(next(iter(self._known)))
            self._size_bytes -= least_used.size_bytes
        return entry


def _read(text: bytes) -> Entry:
    try:
        schema = document.check(text)
    except SchemaRefused as refused:
        return Entry((refused.message, refused.path))
    weight = weigh(schema)
    size_bytes = len(text) * BYTES_PER_CHARACTER
    size_bytes += int(weight.compiling_us) * BYTES_PER_US
    return Entry(None, schema, weight, size_bytes=size_bytes)


def _depth(value: Json) -> int:
    """Return how deep a value nests."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _fault(error: _Error) -> Fault:
    return Fault(
        strict.pointer(error.instance_path),
        strict.pointer(error.schema_path),
        _cut(error.message),
    )


def _refusal(error: _Error) -> SchemaRefused:
    """Return what is wrong with a schema; of a pattern, what patterns can be."""
    message, path = error.message, strict.pointer(error.instance_path)
    if message.endswith(_NO_PATTERN):
        pattern = message.removesuffix(_NO_PATTERN)
        message = f"The pattern {pattern} {_PATTERNS_ARE}"
    elif message.startswith("Unknown meta-schema"):
        path = "/$schema"
    return SchemaRefused(_cut(message), path)


def _cut(message: str) -> str:
    if len(message) <= strict.MESSAGE_CHARACTERS:
        return message
    return f"{message[: strict.MESSAGE_CHARACTERS]}…"
