"""Futures that somebody waits for, each no longer than was said; one timer for all."""

import asyncio
import math
from heapq import heappop, heappush


class Waits:
    """The waits of one event loop.

    A timer of its own for each would be made and cancelled again with every exchange.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, asyncio.Future[bool]]] = []
        self._count = 0  # two may end at the same time: the first one is first
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf

    def begin(self, most_s: float) -> asyncio.Future[bool]:
        """Return a future that is made False after this time, unless it is done."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        self._forget_done()
        at_s = self._loop.time() + most_s
        self._count += 1
        heappush(self._due, (at_s, self._count, waiter))
        if at_s < self._timer_at_s:
            self._look_at(at_s)
        return waiter

    def close(self) -> None:
        """End no wait any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _forget_done(self) -> None:
        while self._due and self._due[0][2].done():
            heappop(self._due)

    def _look_at(self, at_s: float) -> None:
        self.close()
        self._timer_at_s = at_s
        if at_s < math.inf:
            self._timer = self._loop.call_at(at_s, self._look)

    def _look(self) -> None:
        now_s = self._loop.time()
        while self._due and (self._due[0][0] <= now_s or self._due[0][2].done()):
            waiter = heappop(self._due)[2]
            if not waiter.done():
                waiter.set_result(False)
        self._look_at(self._due[0][0] if self._due else math.inf)
