"""Answer bodies that are here already, wholly or in their beginning."""

from collections.abc import AsyncIterator
from typing import Self

import httpx

from proxy.upstream.stream import AnswerStream


class Replayed(httpx.AsyncByteStream):
    """An answer body whose beginning was read before it is relayed.

    Shapes: `body` is what was read; `whole` says that there is no more.
    """

    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        chunks: AsyncIterator[bytes],
        body: bytes,
        *,
        whole: bool,
    ) -> None:
        self._stream = stream
        self._chunks = chunks
        self.body = body
        self.whole = whole

    @classmethod
    async def reading(cls, stream: httpx.AsyncByteStream, most_bytes: int) -> Self:
        """Read a body up to a size, or a little beyond; it is closed on failure."""
        chunks = aiter(stream)
        body = bytearray()
        try:
            async for chunk in chunks:
                body += chunk
                if len(body) > most_bytes:
                    return cls(stream, chunks, bytes(body), whole=False)
        except BaseException:
            await stream.aclose()
            raise
        return cls(stream, chunks, bytes(body), whole=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give out what was read, then the rest."""
        if self.body:
            yield self.body
        if not self.whole:
            async for chunk in self._chunks:
                yield chunk

    async def aclose(self) -> None:
        """Close the body itself."""
        await self._stream.aclose()


def whole_body(stream: httpx.AsyncByteStream) -> bytes | None:
    """Return a body that is here to its end already, or None.

    Its head is withheld too: of an empty body the head is the end.
    """
    if isinstance(stream, AnswerStream) and stream.ended:
        return stream.take()
    if isinstance(stream, Replayed) and stream.whole:
        return stream.body
    return None
