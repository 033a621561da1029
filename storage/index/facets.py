"""What a row has of each field, for many rows at once."""

import sqlite3
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

import msgspec
import orjson
from sqlalchemy import Column, select

from storage.index.blocks import SHARED, Block, Value, shared
from storage.index.buckets import LEVELS, bucket, coarser
from storage.index.file import BLOCK_ROWS
from storage.queries.fields import FIELDS, Expression
from storage.statements import text_of
from storage.tables import exchanges

EXACT = frozenset({"status", "retry_count"})
"""Numbers of few values: each has a bitmap of its own, as a text has."""


class Facet(msgspec.Struct, frozen=True):
    """What a row has of a field, by the expression that decides of it.

    Shapes: `bucketed` numbers stand in buckets, all else by its value.
    """

    name: str
    column: Expression
    bucketed: bool


def _facets() -> dict[str, tuple[Facet, ...]]:
    """Return the facets of each field that is read of a row."""
    found: dict[str, Facet] = {}
    facets: dict[str, tuple[Facet, ...]] = {}
    for field in FIELDS.values():
        if field.kind not in {"text", "choice", "number", "flag", "project"}:
            continue
        its = []
        for column in field.columns:
            name = column.name if isinstance(column, Column) else field.name
            bucketed = field.kind == "number" and name not in EXACT
            its.append(found.setdefault(name, Facet(name, column, bucketed)))
        facets[field.name] = tuple(its)
    return facets


FACETS = _facets()
"""The facets of each field of the language; a row matches where one of them does."""

ROWS = ""
"""The field that every row has, with the value 0."""

THREAD = SHARED + "thread"
"""The field of conversations, by the first of each, which itself does not have it.

Their numbers share bitmaps from the start."""

TOOL = "tool"
"""The field of the tools that an answer calls; its bodies tell, with the words."""

_c = exchanges.c
_EACH = tuple({its.name: its for facets in FACETS.values() for its in facets}.values())
_query = select(_c.seq, _c.created_at, _c.tags, _c.thread, *(f.column for f in _EACH))
_SELECT = text_of(_query)
_AFTER = f"{_SELECT} WHERE seq > ? ORDER BY seq LIMIT ?"
_THESE = f"{_SELECT} WHERE seq IN (SELECT value FROM json_each(?))"  # noqa: S608  ours

Key = TypeVar("Key", bound=Hashable)
Row: TypeAlias = tuple[Value | None, ...]

_STATE = 4 + [its.name for its in _EACH].index("state")


def rows_after(main: sqlite3.Connection, seq: int, *, limit: int) -> list[Row]:
    """Return what facets need of the rows after one, in their order."""
    return main.execute(_AFTER, (seq, limit)).fetchall()


def rows_of(main: sqlite3.Connection, seqs: Sequence[int]) -> list[Row]:
    """Return what facets need of these rows, those that are there."""
    return main.execute(_THESE, (str(list(seqs)),)).fetchall()


def seq_of(row: Row) -> int:
    """Return the number of a row."""
    return int(row[0] or 0)


def is_open(row: Row) -> bool:
    """Return whether an exchange is still under way."""
    return row[_STATE] == "open"


def add_rows(block: Block, rows: Sequence[Row]) -> None:
    """Note all facets of these rows, which lie in this block."""
    if not rows:
        return
    seqs, _, tags, threads, *columns = zip(*rows, strict=True)
    lows = [int(seq) % BLOCK_ROWS for seq in seqs]
    block.add(ROWS, 0, lows)
    later = [(shared(t), low) for t, seq, low in zip(threads, seqs, lows, strict=True)
             if t != seq]  # fmt: skip
    _add(block, THREAD, later)
    for key, pairs in _tagged(tags, lows).items():
        _add(block, f"tag.{key}", pairs)
    for facet, column in zip(_EACH, columns, strict=True):
        if facet.bucketed:
            buckets = map(_bucket, column)
            _add_number(block, facet.name, zip(buckets, lows, strict=True))
        else:
            _add(block, facet.name, zip(column, lows, strict=True))


def _add(block: Block, name: str, pairs: Iterable[tuple[Value | None, int]]) -> None:
    for value, lows in _grouped(pairs).items():
        if value is not None:
            block.add(name, value, lows)


def _add_number(
    block: Block, name: str, pairs: Iterable[tuple[int | None, int]]
) -> None:
    levels: tuple[dict[int, list[int]], ...] = ({}, {}, {})
    for finest, lows in _grouped(pairs).items():
        if finest is not None:
            for level, its in zip(levels, (finest, *coarser(finest)), strict=True):
                level.setdefault(its, []).extend(lows)
    for level, ending in zip(levels, LEVELS, strict=True):
        for its, lows in level.items():
            block.add(name + ending, its, lows)


def _tagged(
    texts: Iterable[str], lows: Iterable[int]
) -> dict[str, list[tuple[Value, int]]]:
    found: dict[str, list[tuple[Value, int]]] = {}
    for text, low in zip(texts, lows, strict=True):
        if text != "{}":
            for key, value in orjson.loads(text).items():
                found.setdefault(key, []).append((value, low))
    return found


@lru_cache(maxsize=65_536)
def _bucket(number: int | None) -> int | None:
    return None if number is None else bucket(number)


def _grouped(pairs: Iterable[tuple[Key, int]]) -> dict[Key, list[int]]:
    groups: defaultdict[Key, list[int]] = defaultdict(list)
    for value, low in pairs:
        groups[value].append(low)
    return groups
