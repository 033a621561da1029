"""The bitmaps of one block of rows, as the indexer changes them."""

import sqlite3
from collections.abc import Iterable
from zlib import crc32

from pyroaring import BitMap

from storage.index.file import BLOCK_ROWS

MOST_VALUES = 4096
"""Values of a field that have a bitmap each in one block; further ones share."""

LONGEST_VALUE = 200

SHARED = "~"
"""Begins the name of the field in which values share bitmaps, by their hash."""

Value = str | int

_FIND = "SELECT number FROM fields WHERE name = ?"
_DROP_UNUSED = (
    "DELETE FROM fields WHERE NOT EXISTS "
    "(SELECT 1 FROM bitmaps WHERE bitmaps.field = fields.number)"
)
_LOAD = "SELECT field, value, data FROM bitmaps WHERE field = ? AND block = ?"
_SAVE = (
    "INSERT INTO bitmaps (field, block, value, count, data) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET count = excluded.count, data = excluded.data"
)
_DROP = "DELETE FROM bitmaps WHERE field = ? AND block = ? AND value = ?"


def shared(value: Value) -> int:
    """Return the number of the bitmap that a value shares with others."""
    if isinstance(value, int):
        return value % MOST_VALUES
    return crc32(value.encode("utf-8", "surrogatepass")) % MOST_VALUES


class Fields:
    """The numbers under which the file has the names of fields."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._numbers: dict[str, int] = {}

    def find(self, name: str) -> int | None:
        """Return the number of a field; None where no row has it."""
        number = self._numbers.get(name)
        if number is None:
            row = self._connection.execute(_FIND, (name,)).fetchone()
            if row is not None:
                number = self._numbers[name] = int(row[0])
        return number

    def number(self, name: str) -> int:
        """Return the number of a field, given to it now where it has none."""
        number = self.find(name)
        if number is None:
            sql = "INSERT INTO fields (name) VALUES (?)"
            number = self._connection.execute(sql, (name,)).lastrowid or 0
            self._numbers[name] = number
        return number

    def drop_unused(self) -> None:
        """Drop the names that no row has any more, within the caller's transaction."""
        self._connection.execute(_DROP_UNUSED)
        self.forget()

    def forget(self) -> None:
        """Forget what a transaction that was rolled back may have numbered."""
        self._numbers.clear()


class Block:
    """All bitmaps of a block, in memory; `save` writes those that changed."""

    def __init__(
        self, connection: sqlite3.Connection, fields: Fields, number: int
    ) -> None:
        self.number = number
        self.first = number * BLOCK_ROWS
        self._connection = connection
        self._fields = fields
        self._bitmaps: dict[int, dict[Value, BitMap]] = {}
        self._dirty: set[tuple[int, Value]] = set()
        for field in connection.execute("SELECT number FROM fields").fetchall():
            found = connection.execute(_LOAD, (*field, number))
            loaded = {value: BitMap.deserialize(data) for _, value, data in found}
            if loaded:
                self._bitmaps[field[0]] = loaded

    def add(self, name: str, value: Value, lows: Iterable[int]) -> None:
        """Note rows, by their place in the block, that have this value."""
        field = self._fields.number(name)
        values = self._bitmaps.setdefault(field, {})
        if value not in values and _shares(name, value, len(values)):
            name, value = SHARED + name, shared(value)
            field = self._fields.number(name)
            values = self._bitmaps.setdefault(field, {})
        bitmap = values.get(value)
        if bitmap is None:
            values[value] = BitMap(lows)
        else:
            bitmap.update(lows)
        self._dirty.add((field, value))

    def forget(self, lows: BitMap, *, keep: tuple[str, ...] = ()) -> None:
        """Take rows out of all bitmaps but those of the fields that are kept."""
        kept = {self._fields.find(name) for name in keep}
        for field, values in self._bitmaps.items():
            if field in kept:
                continue
            for value, bitmap in values.items():
                if not bitmap.isdisjoint(lows):
                    bitmap.difference_update(lows)
                    self._dirty.add((field, value))

    def having(self, name: str, value: Value) -> BitMap:
        """Return the rows that have this value; not to be changed."""
        values = self._bitmaps.get(self._fields.find(name) or 0, {})
        return values.get(value) or BitMap()

    def save(self) -> None:
        """Write what changed, within the caller's transaction."""
        written, empty = [], []
        for field, value in self._dirty:
            bitmap = self._bitmaps[field][value]
            if bitmap:
                bitmap.run_optimize()
                data = bitmap.serialize()
                written.append((field, self.number, value, len(bitmap), data))
            else:
                del self._bitmaps[field][value]
                empty.append((field, self.number, value))
        self._connection.executemany(_SAVE, written)
        self._connection.executemany(_DROP, empty)
        self._dirty.clear()


def _shares(name: str, value: Value, values: int) -> bool:
    if name.startswith(SHARED):
        return False
    return values >= MOST_VALUES or len(str(value)) > LONGEST_VALUE
