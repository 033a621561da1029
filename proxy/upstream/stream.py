"""Body bytes between a connection that reads and a consumer that may be slower."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

import httpx

from proxy.upstream.answer import Framing
from proxy.upstream.errors import UpstreamError, UpstreamTruncated

# With reads of 64 KiB at most 128 KiB wait here (H-74; Envoy: 32 KiB to 1 MiB).
HIGH_WATER_BYTES = 64 * 1024
LOW_WATER_BYTES = 32 * 1024


class Source(Protocol):
    """Where the bytes come from; every call may come at any time and be repeated."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def abandon(self) -> None:
        """Close at once: nobody wants the rest."""


class AnswerStream(httpx.AsyncByteStream):
    """The body of one answer, chunk by chunk as it was read.

    Shapes: `ended` is true once the message is complete and the rest of it is held
    here; then `take` gives all of it without a turn of the loop.
    Raises: `UpstreamTruncated`, `UpstreamIdleTimeout`, `UpstreamProtocolError` from the
    iteration, after every byte that came before the failure.
    """

    def __init__(self, source: Source) -> None:
        self.framing: Framing = "none"
        self.ended = False
        self._source: Source | None = source
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        self._held_bytes -= len(chunk)
        if self._paused and self._held_bytes <= LOW_WATER_BYTES:
            self._read_on()
        return chunk

    def take(self) -> bytes:
        """Return all bytes held, without waiting."""
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._held_bytes = 0
        if self._paused:
            self._read_on()
        return data

    async def aclose(self) -> None:
        """Give up what is left; closes the connection unless the answer is complete."""
        self._chunks.clear()
        source, self._source = self._source, None
        if source is not None and not self.ended:
            self.fail(UpstreamTruncated("The answer was given up by its reader."))
            source.abandon()

    # What the connection calls.

    def push(self, chunk: bytes) -> None:
        """Take a chunk that was read."""
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes >= HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            if self._source is not None:
                self._source.pause()
        self._wake()

    def finish(self) -> None:
        """Take the clean end of the message."""
        self.ended = True
        self._source = None
        self._wake()

    def fail(self, error: UpstreamError) -> None:
        """Take the reason why there will be no end; the first one counts."""
        if self._error is None and not self.ended:
            self._error = error
            self._source = None
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _read_on(self) -> None:
        self._paused = False
        if self._source is not None:
            self._source.resume()
