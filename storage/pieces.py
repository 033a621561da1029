"""Gives content its numbers: each piece and each chain of pieces once."""

import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from hashlib import sha256
from typing import Generic, TypeVar

import msgspec
from sqlalchemy import select

from storage.statements import text_of
from storage.tables import nodes, pieces

Key = TypeVar("Key", bound=Hashable)

_FIND_PIECES = f"{text_of(select(pieces.c.hash, pieces.c.id))} WHERE hash IN"
_FIND_NODE = text_of(select(nodes.c.id).where(nodes.c.parent == 0, nodes.c.piece == 0))
# Hashes in one question to the file; SQLite takes 32,766 parameters.
_AT_ONCE = 500
_LARGE_BYTES = 64 * 1024
_LAST_PIECE = "SELECT coalesce(max(id), 0) FROM pieces"
_LAST_NODE = "SELECT coalesce(max(id), 0) FROM nodes"
# They belong to the connection and are not in the file.
_FORGET_PIECES = (
    "CREATE TEMP TRIGGER IF NOT EXISTS piece_deleted AFTER DELETE ON main.pieces "
    "BEGIN SELECT forget_piece(OLD.hash); END"
)
_FORGET_NODES = (
    "CREATE TEMP TRIGGER IF NOT EXISTS node_deleted AFTER DELETE ON main.nodes "
    "BEGIN SELECT forget_node(OLD.parent, OLD.piece); END"
)

# Hashes remembered in each of two generations: 2 x 16,384 x some 200 bytes = 6.5 MB.
_GENERATION = 16_384


class Known(Generic[Key]):
    """Remembers the numbers of recently used content, within bounds.

    Two generations: what is used moves to the young one; `age` forgets the old one once
    that is full, between batches, as what is new in a batch is in no file to be asked.
    Costs a dictionary look-up, where an exact order costs three.
    """

    def __init__(self, generation: int = _GENERATION) -> None:
        self._generation = generation
        self._young: dict[Key, int] = {}
        self._old: dict[Key, int] = {}

    def get(self, key: Key) -> int | None:
        """Return the number under this key, if it is remembered."""
        number = self._young.get(key)
        if number is None:
            number = self._old.get(key)
            if number is not None:
                self._young[key] = number
        return number

    def lacking(self, keys: Iterable[Key]) -> list[Key]:
        """Return, once each, those of these whose numbers are not remembered."""
        young, old = self._young, self._old
        return list({key for key in keys if key not in young and key not in old})

    def put(self, key: Key, number: int) -> None:
        """Remember a number, at least until `age`."""
        self._young[key] = number

    def age(self) -> None:
        """Forget what was not used for long."""
        if len(self._young) >= self._generation:
            self._old = self._young
            self._young = {}

    def drop(self, key: Key) -> None:
        """Forget a number."""
        self._young.pop(key, None)
        self._old.pop(key, None)


class Content(msgspec.Struct, frozen=True, gc=False):
    """Bytes and their SHA-256."""

    data: bytes | msgspec.Raw
    digest: bytes


def content(data: bytes | msgspec.Raw) -> Content:
    """Return content with its digest."""
    return Content(data, sha256(data).digest())


def _held(data: bytes | msgspec.Raw) -> bytes | memoryview:
    """Return a piece: a copy, or a view where the copy would be a large one."""
    return bytes(data) if len(data) < _LARGE_BYTES else memoryview(data)


class Pieces:
    """Numbers for pieces and nodes; new ones are left in `new_pieces`, `new_nodes`.

    To be thrown away when the transaction with the new rows fails: it would go on
    giving numbers that are not in the file. Rows that are deleted on its connection,
    by whomever, it forgets.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known_pieces: Known[bytes] = Known()
        self._looked_up: dict[bytes, int] = {}
        self._known_nodes: Known[tuple[int, int]] = Known()
        self._last_piece: int = connection.execute(_LAST_PIECE).fetchone()[0]
        self._last_node: int = connection.execute(_LAST_NODE).fetchone()[0]
        self.new_pieces: list[tuple[int, bytes, bytes | memoryview]] = []
        self.new_nodes: list[tuple[int, int, int, int]] = []
        # Nodes from this one on are of the batch at hand: no older row knows them.
        self.first_new_node = self._last_node + 1
        self._first_new_piece = self._last_piece + 1
        self._forget_deleted()

    def _forget_deleted(self) -> None:
        def forget_node(parent: int, piece: int) -> None:
            self._known_nodes.drop((parent, piece))

        connection = self._connection
        connection.create_function("forget_piece", 1, self._known_pieces.drop)
        connection.create_function("forget_node", 2, forget_node)
        connection.execute(_FORGET_PIECES)
        connection.execute(_FORGET_NODES)

    def written(self) -> None:
        """Start a new batch: the rows of the one before are in the file."""
        self.new_pieces = []
        self.new_nodes = []
        self.first_new_node = self._last_node + 1
        self._first_new_piece = self._last_piece + 1
        self._looked_up.clear()
        self._known_pieces.age()
        self._known_nodes.age()

    def look_up(self, digests: Iterable[bytes]) -> None:
        """Find in the file, all at once, what is not remembered of these."""
        unknown = self._known_pieces.lacking(digests)
        for start in range(0, len(unknown), _AT_ONCE):
            part = unknown[start : start + _AT_ONCE]
            places = ", ".join("?" * len(part))
            self._looked_up.update(
                self._connection.execute(f"{_FIND_PIECES} ({places})", part)
            )

    def piece(self, content: Content) -> int:
        """Return the number of this content."""
        number = self._known_pieces.get(content.digest)
        return self._find_piece(content) if number is None else number

    def chain(self, elements: Sequence[Content]) -> list[int]:
        """Return the node of each prefix of this array; the last stands for it all."""
        numbers: list[int] = []
        parent = 0
        for element in elements:
            link = (parent, self.piece(element))
            number = self._known_nodes.get(link)
            if number is None:
                number = self._node(link, depth=len(numbers))
            numbers.append(number)
            parent = number
        return numbers

    def _find_piece(self, content: Content) -> int:
        digest = content.digest
        number = self._looked_up.get(digest)
        if number is None:
            self._last_piece += 1
            number = self._last_piece
            self.new_pieces.append((number, digest, _held(content.data)))
        self._known_pieces.put(digest, number)
        return number

    def _node(self, link: tuple[int, int], *, depth: int) -> int:
        row = None
        # No row of the file links to what is new in this batch.
        if link[0] < self.first_new_node and link[1] < self._first_new_piece:
            row = self._connection.execute(_FIND_NODE, link).fetchone()
        if row is None:
            self._last_node += 1
            number = self._last_node
            self.new_nodes.append((number, *link, depth))
        else:
            number = int(row[0])
        self._known_nodes.put(link, number)
        return number
