"""Registered schemas and bindings in a file: what is added, what stays, what goes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from storage import registry
from storage.engines.sqlite import open_writer
from storage.errors import NoSuchBinding, NoSuchSchema
from storage.schemas import Rule
from tests.storage.make import NOW_AT

ONE, OTHER = b'{"type": "object"}', b'{"type": "array"}'


@pytest.fixture
def file(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return the writing connection of a new file."""
    with closing(open_writer(tmp_path / "s.db")) as connection:
        yield connection


def add(file: sqlite3.Connection, name: str, document: bytes = ONE) -> str:
    """Register a document; return its ref."""
    return registry.add(file, name, document, source="api", now_at=NOW_AT)[0].ref


def order(file: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return numbers and schemas of the bindings that hold."""
    return [(its.id, its.schema) for its in registry.bindings(file)]


def test_a_document_is_kept_as_it_was_given(file: sqlite3.Connection) -> None:
    made, new = registry.add(file, "invoice", ONE, source="file", now_at=NOW_AT)
    assert (True, "invoice@1", ONE) == (new, made.ref, made.document)
    assert (sha256(ONE).digest(), "file", NOW_AT) == (
        made.digest,
        made.source,
        made.created_at,
    )
    assert [made] == registry.versions(file)


def test_the_same_document_makes_no_version(file: sqlite3.Connection) -> None:
    first, _ = registry.add(file, "invoice", ONE, source="file", now_at=NOW_AT)
    again, new = registry.add(file, "invoice", ONE, source="api", now_at=NOW_AT + 9)
    assert (first, False) == (again, new)
    assert [first] == registry.versions(file)


def test_a_document_given_again_after_another_is_the_newest_again(
    file: sqlite3.Connection,
) -> None:
    refs = [add(file, "invoice", document) for document in (ONE, OTHER, ONE)]
    assert ["invoice@1", "invoice@2", "invoice@3"] == refs
    assert ONE == registry.find(file, "invoice").document


def test_versions_of_two_names_are_counted_apart(file: sqlite3.Connection) -> None:
    assert ["b@1", "a@1", "b@2"] == [
        add(file, "b"),
        add(file, "a"),
        add(file, "b", OTHER),
    ]
    assert ["a@1", "b@1", "b@2"] == [its.ref for its in registry.versions(file)]


@pytest.mark.parametrize("ref", ["invoice@3", "invoice@", "invoice@x", "order", ""])
def test_what_is_not_there_is_not_found(file: sqlite3.Connection, ref: str) -> None:
    add(file, "invoice"), add(file, "invoice", OTHER)
    with pytest.raises(NoSuchSchema, match="is registered as"):
        registry.find(file, ref)


def test_a_version_is_found_by_its_number(file: sqlite3.Connection) -> None:
    add(file, "invoice"), add(file, "invoice", OTHER)
    assert ONE == registry.find(file, "invoice@1").document
    assert OTHER == registry.find(file, "invoice@2").document
    assert OTHER == registry.find(file, "invoice").document


def bind(file: sqlite3.Connection, schema: str, position: int | None = None) -> int:
    """Bind a schema to all traffic; return the binding's number."""
    its = registry.bind(file, schema, Rule(), position=position, now_at=NOW_AT)
    return its.id


def test_bindings_come_back_in_their_order(file: sqlite3.Connection) -> None:
    add(file, "a"), add(file, "b")
    assert [1, 2, 3, 4] == [
        bind(file, "a"),
        bind(file, "b@1"),
        bind(file, "b", position=1),
        bind(file, "a", position=2),
    ]
    assert [(3, "b"), (4, "a"), (1, "a"), (2, "b@1")] == order(file)


def test_a_binding_keeps_its_rule_and_policy(file: sqlite3.Connection) -> None:
    add(file, "a")
    rule = Rule(model="gpt-*", tags={"task": "x"}, tool="save", prompt="00ff")
    made = registry.bind(file, "a", rule, policy="repair", attempts=3, now_at=NOW_AT)
    assert [made] == registry.bindings(file)
    assert (rule, "repair", 3) == (made.rule, made.policy, made.attempts)


def test_a_binding_of_no_schema_is_refused(file: sqlite3.Connection) -> None:
    add(file, "a")
    for schema in ("b", "a@2"):
        with pytest.raises(NoSuchSchema):
            bind(file, schema)
    assert [] == order(file)


def test_a_binding_moves(file: sqlite3.Connection) -> None:
    add(file, "a")
    for _ in range(3):
        bind(file, "a")
    registry.move(file, 3, 1)
    assert [3, 1, 2] == [number for number, _ in order(file)]
    registry.move(file, 3, 99)
    assert [1, 2, 3] == [number for number, _ in order(file)]


def test_the_number_of_a_binding_is_never_given_again(
    file: sqlite3.Connection,
) -> None:
    add(file, "a")
    bind(file, "a"), bind(file, "a")
    registry.unbind(file, 2)
    assert [(1, "a")] == order(file)
    assert 3 == bind(file, "a")


def test_a_binding_that_is_no_more_is_not_found(file: sqlite3.Connection) -> None:
    add(file, "a")
    bind(file, "a")
    registry.unbind(file, 1)
    with pytest.raises(NoSuchBinding, match="no binding has the number 1"):
        registry.unbind(file, 1)
    with pytest.raises(NoSuchBinding):
        registry.move(file, 1, 1)
