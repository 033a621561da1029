"""Schemas that are taken, and those that are refused with the place of the fault."""

import json

import pytest

from proxy.schemas.compile import Compiled, Compiler
from proxy.schemas.document import MAX_DEPTH, MAX_NODES, SchemaRefused, check
from proxy.schemas.weight import weigh
from storage.records import Json
from tests.proxy.schemas.hostile import REMOTE, TREE, chain, dumped, fan, nested

_NO_JSON = (
    "This is not JSON: Expecting property name enclosed in double quotes at line 1, "
    "column 2."
)


def refused(document: bytes) -> tuple[str, str]:
    """Return message and pointer of a refusal."""
    with pytest.raises(SchemaRefused) as caught:
        Compiler().compiled(b"", document)
    return caught.value.message, caught.value.path


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        TREE,
        {"$ref": "#/$defs/a", "$defs": {"a": {"$anchor": "x"}, "b": {"$ref": "#x"}}},
        {"$id": "http://x/y", "$ref": "http://x/y#/$defs/a", "$defs": {"a": {}}},
        {"$id": "urn:x", "$ref": "#/$defs/a", "$defs": {"a": {}}},
        {"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {}}},
        {"properties": {"$ref": {"type": "string"}, "enum": {"const": {"$ref": "x"}}}},
        {"enum": [{"$ref": "http://x"}], "default": {"$ref": "y"}},
        {"allOf": [{"$ref": "#/allOf/1"}, {}]},
        {"$schema": "http://json-schema.org/draft-04/schema#", "id": "x"},
    ],
)
def test_a_schema_within_itself_is_taken(schema: Json) -> None:
    document = dumped(schema)
    assert schema == check(document)
    Compiled(schema)


@pytest.mark.parametrize("reference", REMOTE)
def test_s44_a_reference_out_of_the_document_is_refused(reference: str) -> None:
    document = {"properties": {"a": {"items": {"$ref": reference}}}}
    message, path = refused(dumped(document))
    assert f"`{reference}` refers to something outside of the schema." == message
    assert "/properties/a/items/$ref" == path


def test_a_reference_to_nothing_is_refused() -> None:
    message, path = refused(b'{"properties": {"a/b": {"$ref": "#/$defs/x"}}}')
    assert "`#/$defs/x` refers to something that is not there." == message
    assert "/properties/a~1b/$ref" == path


def test_what_is_no_reference_is_refused() -> None:
    message, path = refused(b'{"items": {"$ref": "http://[x#a"}}')
    assert ("`http://[x#a` is no reference.", "/items/$ref") == (message, path)
    refused(b'{"$id": "http://[x#a", "$ref": "y"}')


@pytest.mark.parametrize("digits", [9, 10, 5000])
def test_a_reference_to_an_item_past_all_lists_is_refused(digits: int) -> None:
    reference = f"#/prefixItems/{'9' * digits}"
    document = {"prefixItems": [{}], "items": {"$ref": reference}}
    message, path = refused(dumped(document))
    assert "refers to something that is not there." in message
    assert "/items/$ref" == path


def test_a_reference_to_no_anchor_is_refused() -> None:
    message, _ = refused(b'{"properties": {"a": {"$ref": "#x"}}}')
    assert "x" in message


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"a": {"type": "strnig"}}}, "/properties/a/type"),
        ({"required": "a"}, "/required"),
        ({"items": {"minLength": -1}}, "/items/minLength"),
        ({"$schema": "http://x.y/z"}, "/$schema"),
        ([], ""),
        (7, ""),
    ],
)
def test_what_is_no_schema_is_refused(schema: Json, path: str) -> None:
    assert path == refused(dumped(schema))[1]


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(a", r"(\w{1,1000}){1,1000}"])
def test_s45_a_pattern_that_is_not_linear_or_too_large_is_refused(pattern: str) -> None:
    message, path = refused(dumped({"properties": {"a": {"pattern": pattern}}}))
    assert "linear time" in message
    assert "/properties/a/pattern" == path


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_a_long_pattern_is_refused(keyword: str) -> None:
    pattern = "a" * 1001
    inside: Json = pattern if keyword == "pattern" else {pattern: {}}
    message, path = refused(dumped({"items": {keyword: inside}}))
    assert "The pattern has more than 1000 characters." == message
    assert f"/items/{keyword}" == path


@pytest.mark.parametrize(
    ("document", "message", "path"),
    [
        (b" " * (256 * 1024) + b"{}", "The schema has more than 256 KiB.", ""),
        (b"{", _NO_JSON, ""),
        (b"\xff", "The schema is not UTF-8.", ""),
        (b'{"a": 1, "a": 2}', 'Members occur more than once: "a".', ""),
        (b'{"maximum": NaN}', "NaN is no number of JSON.", "/maximum"),
        (b'{"const": "\\ud800"}', "Half of a surrogate pair stands alone.", "/const"),
        (b"[" * 100_000, "The schema nests deeper than 64 levels.", ""),
    ],
)
def test_what_is_out_of_bounds_is_refused(
    document: bytes, message: str, path: str
) -> None:
    assert (message, path) == refused(document)


def test_s44_depth_and_nodes_are_bounded() -> None:
    deep = nested(MAX_DEPTH - 1).replace('"a"', '"not"').encode()
    assert check(deep)
    message, path = refused(nested(MAX_DEPTH + 1).replace('"a"', '"not"').encode())
    assert "The schema nests deeper than 64 levels." == message
    assert "/not" * (MAX_DEPTH + 1) == path
    message, _ = refused(json.dumps({"enum": list(range(MAX_NODES))}).encode())
    assert "The schema has more than 5000 values." == message


def test_a_message_is_cut() -> None:
    message, _ = refused(dumped({"type": "x" * 1000}))
    assert 301 == len(message)


@pytest.mark.parametrize(
    ("schema", "light"),
    [
        (True, True),
        ({"properties": {f"p{n}": {"type": "string"} for n in range(200)}}, True),
        (fan(5), True),
        (fan(16), False),
        (TREE, False),
        (chain(10, {}), True),
        (chain(1500, {}), False),
        ({"$defs": {"a": {"$anchor": "x"}}, "$ref": "#x"}, False),
        ({"pattern": "^.{1,5000}$"}, False),
        ({"patternProperties": {r"(\w{1,99}){15}": {}}}, False),
        ({"pattern": r"(\w{1,99}){1,99}"}, False),
        ({"pattern": r"((((a{9}){9}){9}){9}){9}"}, False),
        ({"pattern": r"\w" * 100}, False),  # 4 ms
        ({"pattern": r"\p{L}{1,20}"}, False),  # 4 ms and a megabyte
        ({"pattern": r"[^\p{L}]{20,}"}, False),
        ({"items": [{"pattern": r"\d{1,99}"}] * 16}, False),
        ({"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$"}, True),
        ({"pattern": r"^[\p{L}\p{N} .-]{1,2}$"}, True),
        ({"pattern": r"\{5000\}()"}, True),
        ({"pattern": r"^(\d{1,3}\.){3}\d{1,3}$"}, True),
        ({"properties": {f"p{n}": {"pattern": "a"} for n in range(17)}}, False),
        ({"properties": {f"p{n}": {"pattern": "a"} for n in range(16)}}, True),
    ],
)
def test_what_unfolds_or_leads_back_is_not_light(schema: Json, light: bool) -> None:  # noqa: FBT001
    assert light is weigh(check(dumped(schema))).light


def test_branches_are_counted_as_often_as_they_are_met() -> None:
    some = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert 2 == weigh(some).branches
    assert 0 == weigh({"properties": {"a": {"type": "string"}}}).branches
    referring = {"$ref": "#/$defs/s"}
    both = {"properties": {"a": referring, "b": referring}, "$defs": {"s": some}}
    assert 4 == weigh(both).branches
