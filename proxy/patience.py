"""How long a task goes on: for ever, until somebody sets an end while it waits.

`asyncio.timeout` does the same and costs 4 µs on every exchange; here an exchange that
nobody hurries costs nothing (2026-11-21).
"""

import asyncio


class Patience:
    """Cancels a task once the time somebody set has run out.

    The task catches the cancellation where it waits and asks `ran_out`.
    """

    __slots__ = ("_at_s", "_expired", "_task", "_timer")

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task
        self._timer: asyncio.TimerHandle | None = None
        self._at_s = 0.0  # on the loop's clock: uvloop's handles do not tell (0.22)
        self._expired = False

    def lasts(self, seconds: float) -> None:
        """Give the task this long from now, unless it was given less before."""
        loop = self._task.get_loop()
        at_s = loop.time() + seconds
        if self._timer is not None and self._at_s <= at_s:
            return
        self.end()
        self._at_s = at_s
        self._timer = loop.call_later(seconds, self._expire)

    def ran_out(self) -> bool:
        """Say whether a cancellation was this one's doing alone, and undo it if so."""
        expired, self._expired = self._expired, False
        return expired and self._task.uncancel() == 0

    def end(self) -> None:
        """Stop counting: the task is through."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
