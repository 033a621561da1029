"""From a host and a port to an open connection: names, addresses, TLS.

Every connect resolves anew (H-83). uvloop's `create_connection` has no happy eyeballs
(0.22), so the race of RFC 8305 is run here, the same on both loops.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass
from itertools import chain, zip_longest

from proxy.upstream.connection import Connection
from proxy.upstream.errors import (
    UpstreamConnectFailed,
    UpstreamConnectTimeout,
    UpstreamTlsFailed,
)

ATTEMPT_DELAY_S = 0.25  # RFC 8305 §5

Address = tuple[socket.AddressFamily, tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where connections of one pool lead; `ssl_context` is None without TLS."""

    host: str
    port: int
    ssl_context: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


async def dial(origin: Origin, connection: Connection, *, timeout_s: float) -> None:
    """Open a connection to the origin, TLS included.

    Raises: `UpstreamConnectFailed`, `UpstreamTlsFailed`, `UpstreamConnectTimeout`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            sock = await _connect(origin)
            await _attach(origin, connection, sock)
    except TimeoutError as exc:
        raise UpstreamConnectTimeout(
            f"No connection to {origin} within {timeout_s:g} s."
        ) from exc


async def _connect(origin: Origin) -> socket.socket:
    try:
        addresses = await _resolve(origin)
        sock = await _first_of(addresses)
    except TimeoutError:
        raise
    except (OSError, UnicodeError) as exc:
        raise UpstreamConnectFailed(f"Cannot connect to {origin}: {exc}") from exc
    # Answers may stay silent for minutes; what sits between us must not forget us.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # asyncio sets it itself only where a socket names its protocol; uvloop always.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _attach(origin: Origin, connection: Connection, sock: socket.socket) -> None:
    context = origin.ssl_context
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: connection,
            sock=sock,
            ssl=context,
            server_hostname=origin.host if context is not None else None,
        )
    except TimeoutError:
        raise
    except (OSError, ValueError) as exc:
        raise UpstreamTlsFailed(f"TLS with {origin} failed: {exc}") from exc


async def _resolve(origin: Origin) -> list[Address]:
    try:  # a literal address needs no thread
        found = socket.getaddrinfo(
            origin.host,
            origin.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST,
        )
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(
            origin.host, origin.port, type=socket.SOCK_STREAM
        )
    first = found[0][0]
    same = [(family, where) for family, _, _, _, where in found if family == first]
    other = [(family, where) for family, _, _, _, where in found if family != first]
    mixed = chain.from_iterable(zip_longest(same, other))
    return [address for address in mixed if address is not None]


async def _first_of(addresses: list[Address]) -> socket.socket:
    if len(addresses) == 1:
        return await _open(addresses[0])
    running: set[asyncio.Task[socket.socket | OSError]] = set()
    failure = OSError("no address")
    async with asyncio.TaskGroup() as group:
        try:
            for address in [*addresses, None]:
                if address is not None:
                    running.add(group.create_task(_attempt(address)))
                while running:
                    won = await _next_result(running, last=address is None)
                    if isinstance(won, socket.socket):
                        return won
                    failure = won or failure
                    if address is not None:
                        break
        finally:
            _give_up(running)
    raise failure


async def _next_result(
    running: set[asyncio.Task[socket.socket | OSError]], *, last: bool
) -> socket.socket | OSError | None:
    done, _ = await asyncio.wait(
        running,
        timeout=None if last else ATTEMPT_DELAY_S,
        return_when=asyncio.FIRST_COMPLETED,
    )
    if not done:
        return None
    task = done.pop()
    running.discard(task)
    return task.result()


def _give_up(running: set[asyncio.Task[socket.socket | OSError]]) -> None:
    for task in running:
        task.cancel()
        if task.done() and not task.cancelled():
            result = task.result()
            if isinstance(result, socket.socket):
                result.close()


async def _attempt(address: Address) -> socket.socket | OSError:
    try:
        return await _open(address)
    except OSError as exc:
        return exc


async def _open(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock
