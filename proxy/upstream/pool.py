"""Which connection serves whom: reuse, limits, waiting, expiry.

The rules.
1. Connections in use, being opened and idle together are `max_connections` at most.
2. A slot belongs to the request that opens a connection, then to the connection until
   its exchange ends. It comes back in exactly one way: `put_back` or `forget`.
3. Nobody waits while a connection is idle, so an idle one never has to be searched for.
4. A slot that comes free goes to the longest waiter directly; nobody can overtake.
Every step is O(1) (httpcore #1035) and nothing awaits between taking a slot and noting
who has it (httpcore #830, #1093).
"""

import asyncio
import math
from collections.abc import Iterator

from proxy.upstream.connection import Connection
from proxy.upstream.dial import Origin, dial
from proxy.upstream.errors import UpstreamConnectFailed, UpstreamPoolTimeout
from proxy.upstream.limits import Limits

# What an upstream announces runs from its last write, ours from our last read, so its
# second is cut (undici: keepAliveTimeoutThreshold, 1 s).
ANNOUNCED_CUT_S = 1.0


class Pool:
    """The connections to one origin."""

    def __init__(self, origin: Origin, limits: Limits, room: memoryview) -> None:
        self.opened_count = 0
        self.reused_count = 0
        self._origin = origin
        self._limits = limits
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._slots_used = 0  # in use or being opened
        self._open: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}  # the last one in is the last one used
        self._waiters: dict[asyncio.Future[Connection | None], None] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None

    @property
    def open_count(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._open)

    @property
    def idle_count(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def waiting_count(self) -> int:
        """How many requests wait for a connection."""
        return len(self._waiters)

    @property
    def slots_used(self) -> int:
        """How many connections are in use or being opened."""
        return self._slots_used

    def take(self) -> Connection | None:
        """Return the idle connection used last, if one is alive."""
        idle = self._idle
        while idle:
            connection, _ = idle.popitem()
            self._slots_used += 1
            if connection.expires_s > self._loop.time() and connection.is_alive():
                self.reused_count += 1
                return connection
            connection.close()
        return None

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """Return a connection: an idle one, a new one, or one waited for.

        Shapes: with `fresh` it is never one that was idle.
        Raises: `UpstreamPoolTimeout` and the errors of connecting.
        """
        while True:
            if self._closed:
                raise UpstreamConnectFailed("The transport is closed.")
            connection = None if fresh else self.take()
            if connection is not None:
                return connection
            if self._slots_used + len(self._idle) < self._limits.max_connections:
                self._slots_used += 1
            elif self._idle:  # only a fresh one will do: make room
                next(iter(self._idle)).close()
                continue
            else:
                connection = await self._wait_for_slot()
            if connection is None:
                return await self._connect()
            if connection.is_alive():
                self.reused_count += 1
                return connection
            connection.close()

    async def _wait_for_slot(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters[waiter] = None
        timer = self._loop.call_later(
            self._limits.pool_timeout_s, self._time_out, waiter
        )
        try:
            return await waiter
        except asyncio.CancelledError:
            self._return_grant(waiter)
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def _return_grant(self, waiter: asyncio.Future[Connection | None]) -> None:
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            return
        connection = waiter.result()
        if connection is None:
            self._free_slot()
        elif not connection.closed:
            self.put_back(connection)

    def _time_out(self, waiter: asyncio.Future[Connection | None]) -> None:
        if not waiter.done():
            self._waiters.pop(waiter, None)
            waiter.set_exception(
                UpstreamPoolTimeout(
                    f"All {self._limits.max_connections} connections to {self._origin}"
                    f" stayed in use for {self._limits.pool_timeout_s:g} s."
                )
            )

    async def _connect(self) -> Connection:
        connection = Connection(self._limits, self._room)
        try:
            await dial(
                self._origin, connection, timeout_s=self._limits.connect_timeout_s
            )
        except BaseException:
            self._discard(connection)
            raise
        if connection.closed or self._closed:
            self._discard(connection)
            raise UpstreamConnectFailed(f"{self._origin} closed the connection.")
        connection.owner = self
        self._open[connection] = None
        self.opened_count += 1
        return connection

    def _discard(self, connection: Connection) -> None:
        if connection.connected:
            connection.close(abort=True)
        self._free_slot()

    # What connections call.

    def put_back(self, connection: Connection) -> None:
        """Take back a connection whose exchange is complete."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        kept_s = self._limits.idle_expiry_s
        if connection.keep_alive_s is not None:
            kept_s = min(kept_s, connection.keep_alive_s - ANNOUNCED_CUT_S)
        if self._closed or kept_s <= 0:
            connection.close()
            return
        self._slots_used -= 1
        connection.expires_s = self._loop.time() + kept_s
        self._idle[connection] = None
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(kept_s, self._sweep)

    def forget(self, connection: Connection) -> None:
        """Take back the slot of a connection that closed."""
        del self._open[connection]
        if connection in self._idle:
            del self._idle[connection]
        else:
            self._free_slot()

    def _free_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._slots_used -= 1
        else:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                return waiter
        return None

    def _sweep(self) -> None:
        """Close what is idle too long; one timer for all, a quarter of expiry apart."""
        self._sweep_timer = None
        now_s = self._loop.time()
        next_s = math.inf
        for connection in list(self._idle):
            if connection.expires_s <= now_s:
                connection.close()
            else:
                next_s = min(next_s, connection.expires_s - now_s)
        if self._idle:
            wait_s = max(next_s, self._limits.idle_expiry_s / 4)
            self._sweep_timer = self._loop.call_later(wait_s, self._sweep)

    def close(self) -> Iterator[Connection]:
        """Refuse further requests and yield what is open, for its closing."""
        self._closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(UpstreamConnectFailed("The transport is closed."))
        yield from list(self._open)
