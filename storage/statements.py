"""The recorder's statements, compiled once from the tables to SQLite's text."""

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement, Insert, insert
from sqlalchemy.sql.compiler import SQLCompiler

from storage.tables import exchanges, nodes, parts, payloads, pieces, tags

_dialect = sqlite.dialect(paramstyle="qmark")


def text_of(statement: ClauseElement) -> str:
    """Return a statement as text, with `?` in the order of its parameters."""
    return str(statement.compile(dialect=_dialect))


def bound(statement: ClauseElement) -> tuple[str, tuple[object, ...]]:
    """Return a query as text and its values, as `sqlite3` takes them."""
    compiled = statement.compile(dialect=_dialect)
    if not isinstance(compiled, SQLCompiler):  # pragma: no cover  only DDL is not
        raise TypeError(f"{statement} is no query")
    names = compiled.positiontup or ()
    return str(compiled), tuple(compiled.params[name] for name in names)


def _insert(table: Table, prefix: str = "") -> str:
    statement: Insert = insert(table)
    return text_of(statement.prefix_with(prefix) if prefix else statement)


INSERT_EXCHANGE = _insert(exchanges)
# For rows that this run wrote as open: same seq, same id.
REPLACE_EXCHANGE = _insert(exchanges, "OR REPLACE")
INSERT_PAYLOAD = _insert(payloads, "OR REPLACE")
INSERT_PIECE = _insert(pieces)
INSERT_NODE = _insert(nodes)
INSERT_TAG = _insert(tags, "OR IGNORE")
INSERT_PART = _insert(parts)
