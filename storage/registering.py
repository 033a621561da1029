"""One change of what is registered, as a value, and carrying it out."""

import sqlite3
from typing import Literal

import msgspec

from storage import registry
from storage.schemas import Binding, Policy, Rule, Version


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be changed.

    Shapes: `add` takes `schema` (a name), `document` and `source`; `bind` takes
    `schema` (a name or a ref), `rule`, `policy`, `attempts` and `position`; `unbind`
    and `move` take `number`, the latter `position` too.
    """

    do: Literal["add", "bind", "unbind", "move"]
    schema: str = ""
    document: bytes = b""
    source: str = ""
    rule: Rule = Rule()
    policy: Policy = "observe"
    attempts: int = 2
    number: int = 0
    position: int | None = None


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it. Shapes: `new` is false where the version was there already."""

    version: Version | None = None
    binding: Binding | None = None
    new: bool = True


class Changed(msgspec.Struct, frozen=True):
    """What became of a change, and what is registered now.

    Shapes: `added` is the version that came to be, if one did; `versions` are all of
    them, None where those known before and `added` are all there are.
    """

    done: Entered
    added: list[Version]
    versions: list[Version] | None
    bindings: list[Binding]


def enter_and_read(
    connection: sqlite3.Connection, entry: Entry, *, known: int, now_at: int
) -> Changed:
    """Change what is registered; read as much of it as who has `known` versions lacks.

    Raises: as `enter`.
    """
    done = enter(connection, entry, now_at=now_at)
    added = [done.version] if done.version is not None and done.new else []
    complete = registry.count(connection) == known + len(added)
    versions = None if complete else registry.versions(connection)
    return Changed(done, added, versions, registry.bindings(connection))


def enter(connection: sqlite3.Connection, entry: Entry, *, now_at: int) -> Entered:
    """Change what is registered, inside a transaction of the caller's.

    Raises: `NoSuchSchema`, `NoSuchBinding`.
    """
    if entry.do == "add":
        version, new = registry.add(
            connection,
            entry.schema,
            entry.document,
            source=entry.source,
            now_at=now_at,
        )
        return Entered(version=version, new=new)
    if entry.do == "bind":
        binding = registry.bind(
            connection,
            entry.schema,
            entry.rule,
            policy=entry.policy,
            attempts=entry.attempts,
            position=entry.position,
            now_at=now_at,
        )
        return Entered(binding=binding)
    binding = registry.binding(connection, entry.number)
    if entry.do == "unbind":
        registry.unbind(connection, entry.number)
    else:
        registry.move(connection, entry.number, entry.position or 1)
    return Entered(binding=binding)
