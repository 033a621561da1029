"""What is left of an exchange after 101: two streams of bytes that nobody parses."""

from proxy.upstream.connection import Connection
from proxy.upstream.errors import UpstreamGone
from proxy.upstream.stream import AnswerStream


class Tunnel:
    """A connection whose upstream has switched protocols; it has no deadlines.

    Whoever holds it closes it: closing the answer does not, its message is complete.
    """

    def __init__(self, connection: Connection, inflow: AnswerStream) -> None:
        self._connection = connection
        self._inflow = inflow

    async def read(self) -> bytes:
        """Return the next bytes as they were read; `b""` at the upstream's end.

        Raises: `UpstreamGone` when the connection broke.
        """
        return await anext(aiter(self._inflow), b"")

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait while the upstream is behind.

        Raises: `UpstreamGone` once the connection is closed.
        """
        if self._connection.closed:
            raise UpstreamGone("The tunnel is closed.", contacted="yes")
        await self._connection.send(data)

    def write_eof(self) -> None:
        """Close the writing half, where the connection can (TLS cannot)."""
        self._connection.send_eof()

    def close(self) -> None:
        """Close both halves; what is unwritten is given up."""
        self._connection.abandon()
