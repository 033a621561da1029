"""One deadline of a connection, moved often and checked seldom."""

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls `passed` once the wait set last is over.

    The timer is armed for `tick_s`, the shortest wait there is, and looks again when it
    fires; so moving the deadline is one assignment, and a request costs no timer.
    """

    __slots__ = ("_at_s", "_loop", "_passed", "_tick_s", "_timer")

    def __init__(self, passed: Callable[[], None], *, tick_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._passed = passed
        self._tick_s = tick_s
        self._at_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, wait_s: float) -> None:
        """Expect something within this time, `tick_s` at least."""
        self._at_s = self._loop.time() + wait_s
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_s, self._look)

    def lift(self) -> None:
        """Expect nothing for now."""
        self._at_s = math.inf

    def cancel(self) -> None:
        """Expect nothing any more."""
        self._at_s = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left_s = self._at_s - self._loop.time()
        if left_s <= 0:
            self._passed()
        elif left_s < math.inf:
            wait_s = min(left_s, self._tick_s)
            self._timer = self._loop.call_later(wait_s, self._look)
