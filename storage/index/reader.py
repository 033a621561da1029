"""One reading connection to an index, beside one to the database it is of."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from pyroaring import BitMap

from storage.index.blocks import SHARED, Fields, Value, shared
from storage.index.file import BLOCK_ROWS, open_reader
from storage.index.progress import Progress

_ONE = "SELECT data FROM bitmaps WHERE field = ? AND block = ? AND value = ?"
_SOME = "SELECT data FROM bitmaps WHERE field = ? AND block = ? AND value"
_ALL = "SELECT data FROM bitmaps WHERE field = ? AND block = ?"
_OPERATORS = {">": "> ?", ">=": ">= ?", "<": "< ?", "<=": "<= ?", "glob": "GLOB ?"}


class Index:
    """What the index says of rows; belongs to one thread at a time."""

    def __init__(
        self, connection: sqlite3.Connection, main: sqlite3.Connection
    ) -> None:
        self.connection = connection
        self.main = main
        self._fields = Fields(connection)
        self.progress = Progress.read(connection)

    @classmethod
    def open(cls, database: Path, main: sqlite3.Connection) -> Self | None:
        """Return the index of a database that is open already.

        None where there is none, or none of this very file.
        """
        connection = open_reader(database)
        if connection is None:
            return None
        try:
            index = cls(connection, main)
            if index.progress.belongs(main):
                return index
        except sqlite3.DatabaseError:
            pass  # damaged: as good as none, until it is made again
        connection.close()
        return None

    def close(self) -> None:
        """Close the index; the database stays open."""
        self.connection.close()

    @contextmanager
    def reading(self) -> Iterator[frozenset[int]]:
        """Hold one state of the index; tells the rows of which it is not sure.

        What changed is read first: a row leaves that list once the index has it.
        """
        changed = self.main.execute("SELECT seq FROM changed").fetchall()
        self.connection.execute("BEGIN")
        try:
            self.progress = Progress.read(self.connection)
            pending = self.connection.execute("SELECT seq FROM pending").fetchall()
            yield frozenset(seq for (seq,) in (*changed, *pending))
        finally:
            with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                self.connection.execute("COMMIT")

    def one(self, field: str, block: int, value: Value) -> BitMap:
        """Return the rows of a block with exactly this value."""
        return self._union(_ONE, field, block, value)

    def equal(self, field: str, block: int, value: Value) -> tuple[BitMap, BitMap]:
        """Return the rows with this value, and those that share a bitmap with it."""
        return (
            self.one(field, block, value),
            self.one(SHARED + field, block, shared(value)),
        )

    def compared(
        self, field: str, block: int, *, operator: str, value: Value
    ) -> tuple[BitMap, BitMap]:
        """Return the rows whose value compares so, and those whose value is shared."""
        sql = f"{_SOME} {_OPERATORS[operator]}"
        return self._union(sql, field, block, value), self.any(SHARED + field, block)

    def any(self, field: str, block: int) -> BitMap:
        """Return the rows of a block that have a value at all."""
        return self._union(_ALL, field, block)

    def buckets(
        self, field: str, block: int, *, first: int, end: int | None
    ) -> Iterable[BitMap]:
        """Return the bitmaps of the values from one on, up to another."""
        if end is not None and end <= first:
            return ()
        sql, values = f"{_SOME} >= ?", [first]
        if end is not None:
            sql, values = f"{sql} AND value < ?", [first, end]
        return self._read(sql, field, block, *values)

    def unworded(self, block: int, within: BitMap) -> BitMap:
        """Return those of some rows whose words and tools are not known yet."""
        known = self.progress.worded - block * BLOCK_ROWS + 1
        if known <= 0:
            return within
        left = within.copy()
        left.remove_range(0, min(known, BLOCK_ROWS))
        return left

    def _union(self, sql: str, field: str, block: int, *values: Value) -> BitMap:
        found = self._read(sql, field, block, *values)
        if len(found) == 1:
            return found[0]
        return BitMap.union(*found) if found else BitMap()

    def _read(self, sql: str, field: str, block: int, *values: Value) -> list[BitMap]:
        number = self._fields.find(field)
        if number is None:
            return []
        rows = self.connection.execute(sql, (number, block, *values))
        return [BitMap.deserialize(data) for (data,) in rows]


@contextmanager
def opened(database: Path, main: sqlite3.Connection) -> Iterator[Index | None]:
    """Open the index of a database, and close it after; None where there is none."""
    index = Index.open(database, main)
    if index is None:
        yield None
        return
    with closing(index):
        yield index
