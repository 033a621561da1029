"""How slowly a client may speak: looks at all connections now and then.

Nothing is done per request: one that is here at once is never looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import msgspec

LOOK_EVERY_S = 1.0
"""Deadlines are met with this much delay, at most."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What a client has to keep.

    Units: `head_timeout_s` seconds for a whole head, from its first byte or, on a fresh
    connection, from its start; in each `body_timeout_s` seconds that we wait for a body
    at least `min_body_bytes_per_s` for each of them.
    """

    head_timeout_s: float
    body_timeout_s: float
    min_body_bytes_per_s: int


class Progress:
    """Since when we wait for one head or one body, and how much had come by then."""

    __slots__ = ("_since_bytes", "_since_s", "_what")

    def __init__(self) -> None:
        self._what: object = self  # nothing that is waited for
        self._since_s = 0.0
        self._since_bytes = 0

    def rest(self) -> None:
        """Note that we do not wait for the client."""
        self._what = self

    def stalls(self, after: object, now_s: float, timeout_s: float) -> bool:
        """Say whether the head that follows `after` has been awaited too long."""
        if self._what is not after:
            self._begin(after, now_s, 0)
        return now_s - self._since_s >= timeout_s

    def lags(self, what: object, now_s: float, size_bytes: int, pace: Pace) -> bool:
        """Say whether a body of which so much has come comes too slowly."""
        if self._what is not what:
            self._begin(what, now_s, size_bytes)
        if now_s - self._since_s < pace.body_timeout_s:
            return False
        least = pace.body_timeout_s * pace.min_body_bytes_per_s
        if size_bytes - self._since_bytes < max(1, least):
            return True
        self._begin(what, now_s, size_bytes)
        return False

    def _begin(self, what: object, now_s: float, size_bytes: int) -> None:
        self._what = what
        self._since_s = now_s
        self._since_bytes = size_bytes


@asynccontextmanager
async def kept(connections: Collection[object], pace: Pace) -> AsyncIterator[None]:
    """Have connections looked at until the block ends; a tunnel keeps its own pace."""
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_watch(connections, pace))
        try:
            yield
        finally:
            watch.cancel()


async def _watch(connections: Collection[object], pace: Pace) -> None:
    loop = asyncio.get_running_loop()
    tick_s = min(LOOK_EVERY_S, pace.head_timeout_s / 4, pace.body_timeout_s / 4)
    while True:
        await asyncio.sleep(tick_s)
        for connection in tuple(connections):
            look = getattr(connection, "look", None)
            if look is not None:
                look(pace, loop.time())
