"""A request body that is still arriving, written as it comes.

An answer that comes first ends it: the rest is never asked for (H-28).
"""

import asyncio
from collections.abc import AsyncIterable

from proxy.upstream.connection import Connection
from proxy.upstream.errors import RequestUnsendable


async def upload(
    connection: Connection,
    body: AsyncIterable[bytes],
    head: asyncio.Future[None],
    *,
    length_bytes: int | None,
) -> None:
    """Write the body until it ends or the answer's head is here.

    Shapes: without `length_bytes` it leaves in chunks.
    Raises: what the body raises, `RequestUnsendable` when it has not the length it
    declared, and any `UpstreamError` of an exchange.
    """
    connection.start_sending()
    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send(connection, body, length_bytes))
            await head
            sending.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures.exceptions[0].__cause__


async def _send(
    connection: Connection, body: AsyncIterable[bytes], length_bytes: int | None
) -> None:
    sent_bytes = 0
    async for piece in body:
        if not piece:
            continue  # an empty chunk would end the body
        sent_bytes += len(piece)
        if length_bytes is None:
            await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            continue
        if sent_bytes > length_bytes:
            break
        await connection.send(piece)
        if sent_bytes == length_bytes:
            connection.stop_sending()
    if length_bytes is None:
        await connection.send(b"0\r\n\r\n")
    elif sent_bytes != length_bytes:
        raise RequestUnsendable(
            f"The body declared {length_bytes} bytes, not {sent_bytes}.",
            contacted="unknown",
        )
    connection.stop_sending()
