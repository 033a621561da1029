"""Adds versions of schemas and bindings to a file, and reads them back.

All of it runs inside a transaction of the caller's. A version never changes and never
goes; a binding that was removed keeps its row, so that `binding:7` in a record means
one thing for ever.
"""

import sqlite3
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update

from storage.errors import NoSuchBinding, NoSuchSchema
from storage.schemas import Binding, Policy, Rule, Version
from storage.statements import text_of
from storage.tables import bindings as bindings_table
from storage.tables import schemas as schemas_table

_REMOVED = 0  # the position of a binding that is no more; others count from 1

_schema, _binding = schemas_table.c, bindings_table.c
_VERSION = select(
    _schema.name,
    _schema.version,
    _schema.digest,
    _schema.document,
    _schema.source,
    _schema.created_at,
)
_VERSIONS = text_of(_VERSION.order_by(_schema.name, _schema.version))
_NEWEST = text_of(_VERSION.where(_schema.name == "").order_by(_schema.version.desc()))
_COUNT = text_of(select(func.count()).select_from(schemas_table))
_ONE = text_of(_VERSION.where(_schema.name == "", _schema.version == 0))
_ADD_VERSION = text_of(
    insert(schemas_table).values(
        name="", version=0, digest=b"", document=b"", source="", created_at=0
    )
)
_BINDINGS = text_of(
    select(
        _binding.id, _binding.schema, _binding.rule, _binding.policy, _binding.attempts
    )
    .where(_binding.position > _REMOVED)
    .order_by(_binding.position)
)
_LAST_ID = text_of(select(func.max(_binding.id)))
_ADD_BINDING = text_of(insert(bindings_table))
_PLACE = text_of(
    update(bindings_table).where(_binding.id == 0).values(position=_REMOVED)
)

_rule = msgspec.json.Decoder(Rule)


def versions(connection: sqlite3.Connection) -> list[Version]:
    """Return every version of every schema, by name and then from the first on."""
    return [_version(row) for row in connection.execute(_VERSIONS)]


def count(connection: sqlite3.Connection) -> int:
    """Return how many versions there are of all schemas."""
    (number,) = connection.execute(_COUNT).fetchone()
    return int(number)


def bindings(connection: sqlite3.Connection) -> list[Binding]:
    """Return the bindings that hold, in the order in which they are asked."""
    return [
        Binding(
            id=number,
            schema=schema,
            rule=_rule.decode(rule),
            policy=policy,
            attempts=attempts,
        )
        for number, schema, rule, policy, attempts in connection.execute(
            _BINDINGS, (_REMOVED,)
        )
    ]


def binding(connection: sqlite3.Connection, number: int) -> Binding:
    """Return a binding that holds, by its number. Raises: `NoSuchBinding`."""
    found = [its for its in bindings(connection) if its.id == number]
    if not found:
        raise NoSuchBinding(f"no binding has the number {number}")
    return found[0]


def find(connection: sqlite3.Connection, ref: str) -> Version:
    """Return a version by its ref, or the newest one of a name.

    Raises: `NoSuchSchema`.
    """
    name, pinned, number = ref.partition("@")
    if not pinned:
        row = connection.execute(_NEWEST, (name,)).fetchone()
    else:
        wanted = int(number) if number.isdecimal() and len(number) < 10 else 0
        row = connection.execute(_ONE, (name, wanted)).fetchone()
    if row is None:
        raise NoSuchSchema(f"no schema is registered as {ref}")
    return _version(row)


def add(
    connection: sqlite3.Connection,
    name: str,
    document: bytes,
    *,
    source: str,
    now_at: int,
) -> tuple[Version, bool]:
    """Register a document as the newest version of a name; return it, and if it is new.

    Shapes: a document that is the newest one already, byte for byte, makes no version;
    one that was it before and is given again does, as `name` means the newest.
    """
    digest, number = sha256(document).digest(), 1
    row = connection.execute(_NEWEST, (name,)).fetchone()
    if row is not None:
        newest = _version(row)
        if newest.digest == digest:
            return newest, False
        number = newest.version + 1
    values = (name, number, digest, document, source, now_at)
    connection.execute(_ADD_VERSION, values)
    return _version(values), True


def bind(
    connection: sqlite3.Connection,
    schema: str,
    rule: Rule,
    *,
    policy: Policy = "observe",
    attempts: int = 2,
    position: int | None = None,
    now_at: int,
) -> Binding:
    """Bind a schema to what a rule chooses; return the binding.

    Shapes: `position` counts from 1 and moves those behind it; None is behind all.
    Raises: `NoSuchSchema`.
    """
    find(connection, schema)
    (last,) = connection.execute(_LAST_ID).fetchone()
    made = Binding(
        id=(last or 0) + 1, schema=schema, rule=rule, policy=policy, attempts=attempts
    )
    spelled = msgspec.json.encode(rule).decode()
    values = (made.id, _REMOVED, schema, spelled, policy, attempts, now_at)
    connection.execute(_ADD_BINDING, values)
    order = [its.id for its in bindings(connection)]
    _arrange(connection, _with(order, made.id, position))
    return made


def move(connection: sqlite3.Connection, number: int, position: int) -> None:
    """Put a binding at another place, counted from 1. Raises: `NoSuchBinding`."""
    order = _without(connection, number)
    _arrange(connection, _with(order, number, position))


def unbind(connection: sqlite3.Connection, number: int) -> None:
    """End a binding. Raises: `NoSuchBinding`."""
    order = _without(connection, number)
    connection.execute(_PLACE, (_REMOVED, number))
    _arrange(connection, order)


def _version(row: Iterable[Any]) -> Version:
    return Version(**dict(zip(Version.__struct_fields__, row, strict=True)))


def _without(connection: sqlite3.Connection, number: int) -> list[int]:
    binding(connection, number)
    return [its.id for its in bindings(connection) if its.id != number]


def _with(order: list[int], number: int, position: int | None) -> list[int]:
    at = len(order) if position is None else max(position, 1) - 1
    return [*order[:at], number, *order[at:]]


def _arrange(connection: sqlite3.Connection, order: list[int]) -> None:
    places = [(place, number) for place, number in enumerate(order, 1)]
    connection.executemany(_PLACE, places)
