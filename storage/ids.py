"""Makes exchange ids: `ex_` and a UUIDv7, ordered by time and never repeated."""

import os
import time
from collections.abc import Callable

POOL_BYTES = 4096
"""Random bytes of 512 ids: one system call for all of them."""


class Ids:
    """Gives out ids that only grow, also when the clock steps back (F-70).

    Shapes: `ex_` and 32 hex digits.
    Source: RFC 9562 §5.7 with method 3 of §6.2 (a finer clock in `rand_a`).
    """

    def __init__(self, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._clock_ns = clock_ns
        self._last = 0
        self._pool = b""
        self._at = 0

    def __call__(self) -> str:
        """Return the next id."""
        milliseconds, rest_ns = divmod(self._clock_ns(), 1_000_000)
        stamp = max(milliseconds << 12 | rest_ns * 4096 // 1_000_000, self._last + 1)
        self._last = stamp
        low = int.from_bytes(self._random()) >> 2 | 1 << 63
        return f"ex_{stamp >> 12:012x}7{stamp & 0xFFF:03x}{low:016x}"

    def _random(self) -> bytes:
        """Return eight random bytes; the kernel is asked for many at once."""
        if self._at == len(self._pool):
            self._pool, self._at = os.urandom(POOL_BYTES), 0
        self._at += 8
        return self._pool[self._at - 8 : self._at]
