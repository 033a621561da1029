"""Remembers where pages of lists ended, by what their callers were shown.

Who lists and deletes goes on `after` an item that is no more: both official clients
name the last of a page, which they may have removed by then.
"""

from typing import NamedTuple

MOST = 4096


class Ended(NamedTuple):
    """The end of a page. Shapes: `caller` is the fingerprint it was shown to."""

    caller: str
    upstream: str
    name: str


class Places:
    """The ends of the last pages, as numbers of rows; of each caller its own."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._seqs: dict[Ended, int] = {}

    def keep(self, ended: Ended, seq: int) -> None:
        """Remember one, and forget the oldest where there are too many."""
        self._seqs.pop(ended, None)
        self._seqs[ended] = seq
        if len(self._seqs) > self._most:
            del self._seqs[next(iter(self._seqs))]

    def seq(self, ended: Ended) -> int | None:
        """Return where a page ended; None where this caller was shown no such one."""
        return self._seqs.get(ended)
