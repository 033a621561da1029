"""The words of exchanges, in tables of a few thousand rows each.

So that where a text is removed, one small table is made again without it: an index of
words keeps what it once had until it is merged, and knows no other way to forget.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing

from pyroaring import BitMap

from storage.index.file import BLOCK_ROWS, TEXT_ROWS
from storage.index.pairs import Pair
from storage.index.reader import Index
from storage.queries.content import TOKENS
from storage.queries.predicate import phrase
from storage.queries.tree import Words
from storage.writable import writable

_EXISTS = "SELECT 1 FROM sqlite_master WHERE name = ?"


def name_of(part: int, *, again: bool = False) -> str:
    """Return the table of a part; `again` where it is being made a second time."""
    return f"words_{int(part)}{'_again' * again}"


def create(connection: sqlite3.Connection, name: str) -> None:
    """Make a table of words, unless it is there."""
    if connection.execute(_EXISTS, (name,)).fetchone() is None:
        connection.execute(
            f"CREATE VIRTUAL TABLE {name} USING fts5(told, content='', "
            f"tokenize='{TOKENS}')"
        )


def insert(
    connection: sqlite3.Connection, name: str, texts: Iterable[tuple[int, str]]
) -> None:
    """Add texts, each told with its seq, to a table, made where it is missing."""
    create(connection, name)
    connection.executemany(
        f"INSERT INTO {name} (rowid, told) VALUES (?, ?)",  # noqa: S608  our own name
        [(seq, writable(text)) for seq, text in texts],
    )


def swap(connection: sqlite3.Connection, part: int) -> None:
    """Put the table that was made again in place of the old one, if there is one."""
    old, new = name_of(part), name_of(part, again=True)
    connection.execute(f"DROP TABLE IF EXISTS {old}")
    if connection.execute(_EXISTS, (new,)).fetchone() is not None:
        connection.execute(f"ALTER TABLE {new} RENAME TO {old}")


def pair(index: Index, words: Words, block: int, within: BitMap) -> Pair:
    """Return the rows of a block with these words; those without an index may have."""
    base = block * BLOCK_ROWS
    sure = BitMap()
    for part in _parts(base, within):
        sure |= BitMap(
            seq - base for seq in matching(index.connection, name_of(part), words)
        )
    return Pair(sure, sure | index.unworded(block, within))


def matching(connection: sqlite3.Connection, name: str, words: Words) -> Iterator[int]:
    """Yield the seqs of a table's texts that have these words."""
    if connection.execute(_EXISTS, (name,)).fetchone() is None:
        return
    rows = connection.execute(
        f"SELECT rowid FROM {name} WHERE {name} MATCH ?",  # noqa: S608  our own name
        (phrase(words),),
    )
    yield from (seq for (seq,) in rows)


def matches(words: Words, texts: Iterable[tuple[int, str]]) -> set[int]:
    """Return the seqs of those of a few texts that have these words, just as `pair`."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        insert(connection, name_of(0), texts)
        return set(matching(connection, name_of(0), words))


def _parts(base: int, within: BitMap) -> range:
    if not within:
        return range(0)
    return range(
        (base + within.min()) // TEXT_ROWS, (base + within.max()) // TEXT_ROWS + 1
    )
