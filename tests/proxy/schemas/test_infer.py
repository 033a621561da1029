"""Inference: what values have in common, and not what may be chance."""

import json
from typing import Any

import pytest

from proxy.schemas.compile import Compiled
from proxy.schemas.document import check
from proxy.schemas.infer import LEAST_SEEN, MOST_VALUES, Inference


def inferred(*values: Any) -> dict[str, Any]:
    inference = Inference()
    for value in values:
        inference.add(value)
    schema = inference.schema()
    compiled = Compiled(check(json.dumps(schema).encode()))
    assert all(compiled.faults(value) == () for value in values)
    return schema


def of_text(*texts: str) -> dict[str, Any]:
    schema = inferred(*texts)
    assert "https://json-schema.org/draft/2020-12/schema" == schema.pop("$schema")
    return schema


def test_members_that_are_always_there_are_required() -> None:
    schema = inferred({"a": 1, "b": [{"c": True}]}, {"a": 2.5, "b": [], "d": None})
    assert {"a": {"type": "number"}, "d": {"type": "null"}} == {
        name: schema["properties"][name] for name in ("a", "d")
    }
    assert ["a", "b"] == schema["required"]
    assert ["c"] == schema["properties"]["b"]["items"]["required"]


def test_kinds_that_differ_are_alternatives() -> None:
    schema = inferred({"a": 1}, {"a": None}, {"a": "x"})
    assert {"integer", "null", "string"} == set(schema["properties"]["a"]["type"])


def test_few_values_seen_often_are_an_enum() -> None:
    often = ["open", "closed"] * LEAST_SEEN
    assert {"type": "string", "enum": ["closed", "open"]} == of_text(*often)
    assert {"type": "string"} == of_text(*often[:-1])
    many = [f"v{n}" for n in range(MOST_VALUES + 1)] * LEAST_SEEN
    assert {"type": "string"} == of_text(*many)
    assert {"type": "string"} == of_text(*["long " * 20] * LEAST_SEEN)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-11-21T10:00:00.5Z", "2026-11-21 10:00"),
        ("date", "2026-11-21", "2026-13-21"),
        ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
        ("email", "a.b+c@example.org", "a@b"),
        ("uri", "https://example.org/a?b=c", "example.org"),
    ],
)
def test_texts_of_one_form_have_a_format(name: str, good: str, bad: str) -> None:
    assert {"type": "string", "format": name} == of_text(good, good)
    assert "format" not in of_text(good, bad)
