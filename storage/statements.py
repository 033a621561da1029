"""The recorder's statements, compiled once from the tables to SQLite's text."""

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain

from sqlalchemy import Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ClauseElement, Insert, insert
from sqlalchemy.sql.compiler import SQLCompiler

from storage.tables import (
    callers,
    exchanges,
    judgements,
    nodes,
    parts,
    payloads,
    pieces,
    reasks,
)

_dialect = sqlite.dialect(paramstyle="qmark")


def text_of(statement: ClauseElement) -> str:
    """Return a statement as text, with `?` in the order of its parameters."""
    return str(statement.compile(dialect=_dialect))


class Prepared:
    """A query as text, for values that are given each time: to compile takes 1 ms."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(
            dialect=_dialect, compile_kwargs={"render_postcompile": True}
        )
        if not isinstance(compiled, SQLCompiler):  # pragma: no cover  only DDL is not
            raise TypeError(f"{statement} is no query")
        self.text = str(compiled)
        self._names = compiled.positiontup or ()
        self._params = compiled.params

    def values(self, given: Mapping[str, object]) -> tuple[object, ...]:
        """Return the values in their order; `given` by the names of the others."""
        values = {**self._params, **given}
        return tuple(values[name] for name in self._names)


def bound(statement: ClauseElement) -> tuple[str, tuple[object, ...]]:
    """Return a query as text and its values, as `sqlite3` takes them."""
    prepared = Prepared(statement)
    return prepared.text, prepared.values({})


def _insert(table: Table, prefix: str = "") -> str:
    statement: Insert = insert(table)
    return text_of(statement.prefix_with(prefix) if prefix else statement)


def insert_rows(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[object]]
) -> None:
    """Insert rows with as few statements as there are bits in their number.

    `executemany` steps once a row, and each step lets go of the interpreter lock: a
    busy event loop gives it back only after a whole switch interval.
    """
    done = 0
    while done < len(rows):
        count = min(1 << (len(rows) - done).bit_length() - 1, _MOST_ROWS)
        values = tuple(chain.from_iterable(rows[done : done + count]))
        connection.execute(_many(statement, count), values)
        done += count


# 32 rows of 39 columns are well below SQLite's 32,766 parameters.
_MOST_ROWS = 32


@cache
def _many(statement: str, count: int) -> str:
    head, _, places = statement.rpartition(" VALUES ")
    return f"{head} VALUES {', '.join([places] * count)}"


INSERT_EXCHANGE = _insert(exchanges)
# For rows that this run wrote as open: same seq, same id.
REPLACE_EXCHANGE = _insert(exchanges, "OR REPLACE")
INSERT_PAYLOAD = _insert(payloads, "OR REPLACE")
INSERT_PIECE = _insert(pieces)
INSERT_NODE = _insert(nodes)
INSERT_CALLER = _insert(callers, "OR IGNORE")
INSERT_PART = _insert(parts)
INSERT_JUDGEMENT = _insert(judgements, "OR REPLACE")
INSERT_REASK = _insert(reasks, "OR REPLACE")
