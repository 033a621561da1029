"""Counts the values that fields have among what a filter matches, the newest first."""

import time
from collections import Counter
from collections.abc import Sequence

import msgspec
from sqlalchemy import Label, func, literal_column, select

from storage.errors import BadQuery
from storage.queries.conditions import condition
from storage.queries.content import Reader
from storage.queries.fields import TAG, Expression, field_of, tag_value
from storage.queries.pages import newest
from storage.queries.predicate import reads_content
from storage.queries.tree import Node
from storage.reading import Library, Query
from storage.statements import bound
from storage.tables import exchanges

MOST_FIELDS = 8

_WINDOW_ROWS = 4096
_WINDOW_BODIES = 64

_KINDS = frozenset({"text", "choice", "flag", "project"})
_NUMBERS = frozenset({"status", "retries"})  # with few values
_columns = exchanges.c


class Counts(msgspec.Struct, frozen=True):
    """How many exchanges have which values.

    Shapes: by field, the most frequent value first. Not `complete` where time ran out:
    they are of the newest ones then, from the number `down_to` on.
    """

    fields: dict[str, list[tuple[str, int]]]
    exchanges: int
    down_to: int
    complete: bool


def count(
    library: Library,
    query: Node | None,
    names: Sequence[str],
    *,
    projects: frozenset[str] | None,
    read: Reader | None = None,
    limit: int = 20,
    deadline_s: float = 1.0,
) -> Counts:
    """Return the counts of these fields' values, as far as time allows.

    Raises: `BadQuery` for a field that has no values to count.
    """
    asked = {name: _expression(name) for name in names}
    found: dict[str, Counter[str]] = {name: Counter() for name in asked}
    until = time.monotonic() + deadline_s
    total, low = 0, newest(library) + 1
    size = _WINDOW_BODIES if reads_content(query) else _WINDOW_ROWS
    with condition(library, query, projects=projects, read=read) as where:
        while low > 1 and time.monotonic() < until:
            high, low = low - 1, max(1, low - size)
            columns = [Label(None, one) for one in asked.values()]
            grouped: Query = select(*columns, func.count())
            grouped = grouped.where(_columns.seq.between(low, high))
            if where is not None:
                grouped = grouped.where(where)
            if columns:
                grouped = grouped.group_by(*columns)
            for *values, number in library.connection.execute(*bound(grouped)):
                total += number
                for name, value in zip(asked, values, strict=True):
                    if value is not None and value != "":
                        found[name][str(value)] += number
    told = {name: counter.most_common(limit) for name, counter in found.items()}
    return Counts(told, total, low, low <= 1)


def _expression(name: str) -> Expression:
    """Return what a field counts.

    Raises: `BadQuery`.
    """
    field = field_of(name)
    if name == "model":  # as people mean it: the one that answered, else the one asked
        served = func.nullif(_columns.model_served, literal_column("''"))
        return func.coalesce(served, _columns.model_asked)
    if name.startswith(TAG) and name != TAG:
        return tag_value(name.removeprefix(TAG))
    if field is None or (field.kind not in _KINDS and name not in _NUMBERS):
        raise BadQuery(f"'{name}' has no values to count", 1)
    return field.columns[0]
