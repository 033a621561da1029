"""The first and the last time of each thousand rows, so that dates need no index."""

import sqlite3
from collections.abc import Iterable

from pyroaring import BitMap

from storage.index.file import BLOCK_ROWS, SPAN_ROWS

_WIDEN = (
    "INSERT INTO spans (span, least, greatest) VALUES (?, ?, ?) ON CONFLICT DO UPDATE "
    "SET least = min(least, excluded.least), "
    "greatest = max(greatest, excluded.greatest)"
)
_READ = "SELECT span, least, greatest FROM spans WHERE span >= ? AND span < ?"
_SPANS = BLOCK_ROWS // SPAN_ROWS


def widen(connection: sqlite3.Connection, times: Iterable[tuple[int, int]]) -> None:
    """Note the times of these rows, each told as its seq and its time."""
    spans: dict[int, tuple[int, int]] = {}
    for seq, at in times:
        span = seq // SPAN_ROWS
        least, greatest = spans.get(span, (at, at))
        spans[span] = (min(least, at), max(greatest, at))
    connection.executemany(_WIDEN, [(span, *both) for span, both in spans.items()])


def between(
    connection: sqlite3.Connection, block: int, first_at: int, last_at: int
) -> tuple[BitMap, BitMap]:
    """Return the rows of a block that are surely, and those that may be, in a time.

    Shapes: both ends of the time belong to it; rows that are not there may be told.
    """
    sure, maybe = BitMap(), BitMap()
    start = block * _SPANS
    for span, least, greatest in connection.execute(_READ, (start, start + _SPANS)):
        low = (span - start) * SPAN_ROWS
        if least <= last_at and greatest >= first_at:
            maybe.add_range(low, low + SPAN_ROWS)
            if least >= first_at and greatest <= last_at:
                sure.add_range(low, low + SPAN_ROWS)
    return sure, maybe
