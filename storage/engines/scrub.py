"""Overwrites what lies unused inside the pages of a SQLite file.

`secure_delete` overwrites what is deleted where it stands. But a row that was moved to
another page, as its neighbours came or went, leaves a copy in the unused part of the
page it was on, which no later deletion finds (SQLite's `rebuildPage`; seen in one of
150 removed rows, 2026-11-21). Unused bytes mean nothing to any reader, so they may be
overwritten beneath SQLite, as long as nobody writes and the log is empty.

A file with `auto_vacuum` tells of each page what it is, and only pages of trees are
touched.
Source: SQLite's file format, sections 1.6 and 1.8.
"""

import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path

from storage.engines.sqlite import checkpoint

_READ_BYTES = 4 * 1024 * 1024
_ENTRY_BYTES = 5
_ROOT, _INNER = 1, 5  # kinds of page in a pointer map; the others are no trees
_LOCKS_AT = 0x40000000  # the page here is never used
_LAYOUT = struct.Struct(">BHHH")
_BLOCK = struct.Struct(">HH")
_HEAD_BYTES = {2: 12, 5: 12, 10: 8, 13: 8}  # by the kind of a tree's page


OLD = (
    "the file was made by an older version, so what is removed may stay in its unused "
    "bytes: stop the server and run 'spiritsafe prune' once, which writes it anew"
)

FIRST = 2  # the page of the first pointer map; what it tells of follows it


class Scrub:
    """Goes through one file, a stretch of pages at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        # Never closed: that would drop the locks which SQLite has on the file in this
        # process (howtocorrupt.html, 2.2).
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    @property
    def is_of_another(self) -> bool:
        """Whether the file at the path is not the one opened. Raises: `OSError`."""
        return os.fstat(self._file).st_ino != self._path.stat().st_ino

    def step(self, connection: sqlite3.Connection, *, at: int) -> int | None:
        """Overwrite what is unused in some hundred pages from one on.

        Shapes: returns where to go on, which is the same page while a reader holds the
        log; None at the end.
        Raises: `sqlite3.Error`; `OSError`; `ValueError` where the file has no map, or
        is another by now.
        """
        if self.is_of_another:
            raise ValueError("the file is another one now")
        if not can_scrub(connection):
            raise ValueError(OLD)
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        if not _cut_at_once(connection):
            return at
        connection.execute("BEGIN IMMEDIATE")
        try:
            if self._log.exists() and self._log.stat().st_size:
                return at
            (count,) = connection.execute("PRAGMA page_count").fetchone()
            self._overwrite(at, size)
        finally:
            connection.execute("ROLLBACK")
            # What it remembers of those pages it would write again as it was.
            connection.execute("PRAGMA shrink_memory")
        following: int = at + size // _ENTRY_BYTES + 1
        return following if following <= count else None

    def _overwrite(self, at: int, size: int) -> None:
        at += at == _LOCKS_AT // size + 1
        told = size // _ENTRY_BYTES * _ENTRY_BYTES
        kinds = os.pread(self._file, size, (at - 1) * size)[:told:_ENTRY_BYTES]
        wrote = False
        some = _READ_BYTES // size
        for first in range(0, len(kinds), some):
            place = (at + first) * size
            length = min(some, len(kinds) - first) * size
            data = os.pread(self._file, length, place)
            for start in range(0, len(data), size):
                if kinds[first + start // size] not in {_ROOT, _INNER}:
                    continue
                page = data[start : start + size]
                for begin, end in unused(page):
                    if page[begin:end].strip(b"\0"):
                        os.pwrite(self._file, bytes(end - begin), place + start + begin)
                        wrote = True
        if wrote:
            os.fsync(self._file)


def can_scrub(connection: sqlite3.Connection) -> bool:
    """Return whether a file tells which of its pages are trees."""
    return bool(connection.execute("PRAGMA auto_vacuum").fetchone()[0])


def _cut_at_once(connection: sqlite3.Connection) -> bool:
    """Empty the log without waiting for readers: nothing is recorded meanwhile."""
    (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        return checkpoint(connection, "TRUNCATE")
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience_ms}")


def unused(page: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the unused bytes of a tree's page begin and end.

    Shapes: nothing for a page that is none, or not laid out as one.
    """
    head = _HEAD_BYTES.get(page[0])
    if head is None:
        return
    _, block, cells, content = _LAYOUT.unpack_from(page)
    begin, content = head + 2 * cells, content or 65536
    if not begin <= content <= len(page):
        return
    yield begin, content
    while content <= block <= len(page) - _BLOCK.size:
        following, size = _BLOCK.unpack_from(page, block)
        if not _BLOCK.size <= size <= len(page) - block:
            return
        yield block + _BLOCK.size, block + size
        if following and following <= block:
            return
        block = following
