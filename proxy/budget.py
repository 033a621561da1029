"""How many bytes of bodies may be in memory at once, and who waits for room (D6)."""

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from proxy.errors import BusyError, TooLargeError

FREE_BYTES = 64 * 1024
"""A body this short costs nothing: it could have come in one read."""

STEP_BYTES = 1024 * 1024
"""What a body of unknown length takes at a time, and what small is."""


class _Waiter(NamedTuple):
    """Who waits for so many bytes, and holds so many meanwhile."""

    size_bytes: int
    held_bytes: int
    granted: asyncio.Future[None]


class Budget:
    """Bytes that many share; who finds none waits in turn, for a while."""

    def __init__(self, most_bytes: int, *, wait_s: float) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._wait_s = wait_s
        self._waiting: deque[_Waiter] = deque()

    def take_now(self, size_bytes: int) -> bool:
        """Take so many bytes if they are there and nobody waits for them.

        A little is there for small ones also when large ones have it all and wait.
        """
        room_bytes = self.most_bytes - self.held_bytes
        if size_bytes <= STEP_BYTES:
            room_bytes += self.most_bytes // 8
        elif self._waiting:
            return False
        if size_bytes > room_bytes:
            return False
        self.held_bytes += size_bytes
        return True

    async def take(self, size_bytes: int, *, held_bytes: int = 0) -> None:
        """Take so many bytes, waiting for them if need be.

        Shapes: `held_bytes` is what the caller holds already. Of those who hold some
        and wait for more only the one that holds most goes on: each would wait for
        what the others hold.
        Raises: `BusyError` when others hold them for too long.
        """
        if self.take_now(size_bytes):
            return
        if held_bytes:
            self._outbid(held_bytes)
        granted = asyncio.get_running_loop().create_future()
        waiter = _Waiter(size_bytes, held_bytes, granted)
        self._waiting.append(waiter)
        taken = False
        try:
            async with asyncio.timeout(self._wait_s):
                await granted
            taken = True
        except TimeoutError:
            raise no_room() from None
        finally:
            if not taken:
                self._give_up(waiter)

    def give(self, size_bytes: int) -> None:
        """Give bytes back, to those who wait first."""
        self.held_bytes -= size_bytes
        self._serve()

    def _outbid(self, held_bytes: int) -> None:
        """Refuse whoever holds least of those who hold some and wait for more."""
        for waiter in self._waiting:
            if not waiter.held_bytes or waiter.granted.done():
                continue
            if waiter.held_bytes >= held_bytes:
                raise no_room()
            waiter.granted.set_exception(no_room())

    def _give_up(self, waiter: _Waiter) -> None:
        granted = waiter.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self.give(waiter.size_bytes)  # it came too late
        with suppress(ValueError):
            self._waiting.remove(waiter)
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            waiter = self._waiting[0]
            if not waiter.granted.done():
                if self.held_bytes + waiter.size_bytes > self.most_bytes:
                    return
                self.held_bytes += waiter.size_bytes
                waiter.granted.set_result(None)
            self._waiting.popleft()


class Budgets(NamedTuple):
    """What request bodies have, and long answers."""

    requests: Budget
    answers: Budget


def no_room() -> BusyError:
    """Return what to tell a request whose body finds no room."""
    return BusyError(
        "Too many large request bodies at once for the memory that is set aside for "
        "them: come again, send fewer at once, or raise max_bodies_bytes.",
        code="proxy_memory_full",
    )


class Share:
    """What one exchange holds of a budget, until the end of the block."""

    __slots__ = ("_budget", "_held_bytes")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held_bytes = 0

    async def reach(self, size_bytes: int, *, whole: bool = False) -> None:
        """Hold at least so many bytes; with `whole` there will be no more.

        Raises: `TooLargeError` where all there is would not do, `BusyError` where it
        is not to be had in time.
        """
        missing = size_bytes - self._held_bytes
        if missing <= 0 or size_bytes <= FREE_BYTES:
            return
        if size_bytes > self._budget.most_bytes:
            raise TooLargeError(
                f"The request body is larger than the {self._budget.most_bytes} bytes "
                "of memory for all bodies: raise max_bodies_bytes, or send it with the "
                "header x-spiritsafe-record: off."
            )
        room = self._budget.most_bytes - self._held_bytes
        more = missing if whole else max(missing, min(STEP_BYTES, room))
        await self._budget.take(more, held_bytes=self._held_bytes)
        self._held_bytes += more

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held_bytes:
            self._budget.give(self._held_bytes)
