"""Gives content its numbers: each piece and each chain of pieces once."""

import sqlite3
from collections.abc import Sequence
from hashlib import sha256

import msgspec
from sqlalchemy import select

from storage.bodies import Packer
from storage.statements import text_of
from storage.tables import nodes, pieces

_FIND_PIECE = text_of(select(pieces.c.id).where(pieces.c.hash == b""))
_FIND_NODE = text_of(select(nodes.c.id).where(nodes.c.hash == b""))
_LAST_PIECE = "SELECT coalesce(max(id), 0) FROM pieces"
_LAST_NODE = "SELECT coalesce(max(id), 0) FROM nodes"

# Hashes remembered in each of two generations: 2 x 16,384 x some 200 bytes = 6.5 MB.
_GENERATION = 16_384


class Known:
    """Remembers the numbers of recently used hashes, within bounds.

    Two generations: what is used moves to the young one; when that is full the old
    one is forgotten. Costs a dictionary look-up, where an exact order costs three.
    """

    def __init__(self, generation: int = _GENERATION) -> None:
        self._generation = generation
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}

    def get(self, digest: bytes) -> int | None:
        """Return the number under this hash, if it is remembered."""
        number = self._young.get(digest)
        if number is None:
            number = self._old.get(digest)
            if number is not None:
                self.put(digest, number)
        return number

    def put(self, digest: bytes, number: int) -> None:
        """Remember a number."""
        if len(self._young) >= self._generation:
            self._old = self._young
            self._young = {}
        self._young[digest] = number


class Pieces:
    """Numbers for pieces and nodes; new ones are left in `new_pieces`, `new_nodes`.

    To be thrown away when the transaction with the new rows fails: it would go on
    giving numbers that are not in the file.
    """

    def __init__(self, connection: sqlite3.Connection, packer: Packer) -> None:
        self._connection = connection
        self._packer = packer
        # Apart: whoever sends 32 bytes that are a hash makes a piece and a node alike.
        self._known_pieces = Known()
        self._known_nodes = Known()
        self._last_piece: int = connection.execute(_LAST_PIECE).fetchone()[0]
        self._last_node: int = connection.execute(_LAST_NODE).fetchone()[0]
        self.new_pieces: list[tuple[int, bytes, int, bytes]] = []
        self.new_nodes: list[tuple[int, bytes, int | None, int, int]] = []
        # Nodes from this one on are of the batch at hand: no older row knows them.
        self.first_new_node = self._last_node + 1

    def written(self) -> None:
        """Start a new batch: the rows of the one before are in the file."""
        self.new_pieces = []
        self.new_nodes = []
        self.first_new_node = self._last_node + 1

    def piece(self, data: bytes | msgspec.Raw) -> int:
        """Return the number of this content."""
        return self._piece(data, sha256(data).digest())

    def chain(self, elements: Sequence[bytes | msgspec.Raw]) -> list[int]:
        """Return the node of each prefix of this array; the last stands for it all."""
        numbers: list[int] = []
        before, parent = b"", None
        for element in elements:
            digest = sha256(element).digest()
            before = sha256(before + digest).digest()
            number = self._known_nodes.get(before)
            if number is None:
                number = self._find_node(before)
            if number is None:
                self._last_node = number = self._last_node + 1
                piece, depth = self._piece(element, digest), len(numbers)
                self.new_nodes.append((number, before, parent, piece, depth))
                self._known_nodes.put(before, number)
            numbers.append(number)
            parent = number
        return numbers

    def _piece(self, data: bytes | msgspec.Raw, digest: bytes) -> int:
        number = self._known_pieces.get(digest)
        if number is not None:
            return number
        row = self._connection.execute(_FIND_PIECE, (digest,)).fetchone()
        if row is None:
            self._last_piece += 1
            number = self._last_piece
            content = bytes(data)
            packed = self._packer.pack(content)
            self.new_pieces.append((number, digest, len(content), packed))
        else:
            number = int(row[0])
        self._known_pieces.put(digest, number)
        return number

    def _find_node(self, chained: bytes) -> int | None:
        row = self._connection.execute(_FIND_NODE, (chained,)).fetchone()
        if row is None:
            return None
        self._known_nodes.put(chained, row[0])
        return int(row[0])
