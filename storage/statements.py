"""The recorder's statements, compiled once from the tables to SQLite's text."""

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement, Insert, insert

from storage.tables import exchanges, nodes, parts, payloads, pieces, tags

_dialect = sqlite.dialect(paramstyle="qmark")


def text_of(statement: ClauseElement) -> str:
    """Return a statement as text, with `?` in the order of its parameters."""
    return str(statement.compile(dialect=_dialect))


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
