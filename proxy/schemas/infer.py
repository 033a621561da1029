"""Proposes a schema from values: the home of genson, with enums and formats added.

What comes of it is for a person to edit: it allows what was seen, and knows no more.
"""

import re
from collections import Counter
from typing import Final

from genson import SchemaBuilder  # type: ignore[import-untyped]  # it has no types
from genson.schema.strategies import String  # type: ignore[import-untyped]  # same

from storage.records import Json

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

MOST_VALUES: Final = 10
"""Of an enum: a list that a person can check."""

LEAST_SEEN: Final = 5
"""Times that each value of an enum is seen, on average: fewer may be chance."""

MOST_CHARACTERS: Final = 64
"""Of a value in an enum: longer ones are prose."""

FORMATS: Final = {
    "date-time": re.compile(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
    ),
    "date": re.compile(r"\d{4}-(0\d|1[0-2])-([0-2]\d|3[01])", re.ASCII),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]+(\.[\w-]+)+", re.ASCII),
    "uri": re.compile(r"[a-z][a-z0-9+.-]*://[^\s<>\"]+", re.ASCII),
}


class _Text(String):  # type: ignore[misc]  # genson has no types
    """A string, with what all of them at its place have in common."""

    def __init__(self, node_class: type) -> None:
        super().__init__(node_class)
        self._seen = 0
        self._values: Counter[str] | None = Counter()
        self._formats = set(FORMATS)

    def add_object(self, obj: str) -> None:
        """Take one more."""
        super().add_object(obj)
        self._seen += 1
        self._formats = {its for its in self._formats if FORMATS[its].fullmatch(obj)}
        if self._values is not None:
            self._values[obj] += 1
            if len(self._values) > MOST_VALUES or len(obj) > MOST_CHARACTERS:
                self._values = None

    def to_schema(self) -> dict[str, Json]:
        """Return what is common: a format, else few values."""
        schema: dict[str, Json] = super().to_schema()
        if self._formats:
            schema["format"] = min(self._formats)
        elif self._values and self._seen >= LEAST_SEEN * len(self._values):
            schema["enum"] = sorted(self._values)
        return schema


class _Builder(SchemaBuilder):  # type: ignore[misc]  # genson has no types
    EXTRA_STRATEGIES = (_Text,)


class Inference:
    """Takes values, and tells the schema that all of them pass.

    >>> its = Inference()
    >>> its.add({"n": 1})
    >>> its.add({"n": 1.5, "on": "2026-11-21"})
    >>> its.schema()["properties"]
    {'n': {'type': 'number'}, 'on': {'type': 'string', 'format': 'date'}}
    """

    def __init__(self) -> None:
        self._builder = _Builder(schema_uri=DIALECT)

    def add(self, value: Json) -> None:
        """Take a value. Raises: `RecursionError` where it nests too deep."""
        self._builder.add_object(value)

    def schema(self) -> dict[str, Json]:
        """Return the schema."""
        told: dict[str, Json] = self._builder.to_schema()
        return told
