"""What has passed in one exchange so far, and when.

Memory only; never waits, never parses.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from proxy.repair import FIRST, Attempt
from proxy.rules import Plan, holds
from storage.records import Chunk, Endpoint, Exchange, HeaderPairs, Progress

FREE_BYTES = 64 * 1024
"""Of an answer, kept without asking for room: most answers are shorter."""

STEP_BYTES = 1024 * 1024
"""What a longer one asks for at a time."""


class Room(Protocol):
    """The memory for all answers."""

    def take_now(self, size_bytes: int) -> bool:
        """Take so many bytes, if they are there."""

    def give(self, size_bytes: int) -> None:
        """Give so many bytes back."""


class Tape(msgspec.Struct, kw_only=True, eq=False):
    """The bytes of one answer with their times, beside the plan of its request.

    Shapes: `key` is the caller's, in memory only, to find it where it must not be kept;
    `digests` are those of a large request; `sealed` says that the finished exchange is
    made: nothing is open after it.

    Units: `created_at` is microseconds since the epoch, times are microseconds after
    that, measured on the monotonic clock.
    """

    id: str
    key: bytes | None
    plan: Plan
    endpoint: Endpoint
    project: str
    upstream: str
    target: str
    request: bytes
    request_headers: HeaderPairs
    created_at: int
    started_ns: int
    max_kept_bytes: int
    room: Room
    attempt: Attempt = FIRST
    status: int = 0
    headers: list[tuple[bytes, bytes]] = []
    recorded_headers: HeaderPairs = ()
    chunks: list[bytes] = []
    times_us: list[int] = []
    size_bytes: int = 0
    kept_bytes: int = 0
    digests: tuple[bytes, bytes] | None = None
    open_exchange: Exchange | None = None
    sealed: bool = False
    _first_values: dict[bytes, bytes] = {}
    _allowed_bytes: int = FREE_BYTES
    _saved_bytes: int = 0
    _saved_chunks: int = 0
    _seam: bytes = b""
    _digest: "hashlib._Hash | None" = None

    def __post_init__(self) -> None:
        if self.max_kept_bytes < FREE_BYTES:
            self._allowed_bytes = self.max_kept_bytes
        if not self.max_kept_bytes:
            self._digest = hashlib.sha256()

    def answered(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Note the head of the answer."""
        self.status, self.headers = status, headers
        self._first_values = {key.lower(): value for key, value in reversed(headers)}

    def add(self, chunk: bytes, now_ns: int) -> None:
        """Put one read of answer bytes onto the tape; beyond the limit only count it.

        Units: `now_ns` is monotonic, on the clock of `started_ns`.
        """
        self.size_bytes += len(chunk)
        if self._digest is None and (
            self.size_bytes <= self._allowed_bytes or self._allow()
        ):
            self.chunks.append(chunk)
            self.times_us.append((now_ns - self.started_ns) // 1000)
            self.kept_bytes = self.size_bytes
            return
        if self._digest is None:
            self._digest = hashlib.sha256(b"".join(self.chunks))
        self._digest.update(chunk)

    def _allow(self) -> bool:
        """Ask for room for a longer answer, where it may be that long."""
        missing = self.size_bytes - self._allowed_bytes
        step = max(missing, min(STEP_BYTES, self.max_kept_bytes - self._allowed_bytes))
        if self.size_bytes > self.max_kept_bytes or not self.room.take_now(step):
            return False
        self._allowed_bytes += step
        return True

    def let_go(self) -> None:
        """Give the room back: the exchange is over."""
        taken = self._allowed_bytes - min(FREE_BYTES, self.max_kept_bytes)
        if taken:
            self.room.give(taken)

    def header(self, name: bytes) -> bytes:
        """Return the first value of an answer header, or nothing.

        Shapes: `name` in lower case.
        """
        return self._first_values.get(name, b"")

    def forget_content(self) -> None:
        """Keep nothing of the content after all."""
        self.plan = msgspec.structs.replace(
            self.plan, content_kept=False, prompt_preview=""
        )
        self.open_exchange = None

    def let_go_of_sent(self) -> None:
        """Hold what was sent no longer where it is large: its digest is known."""
        if self.digests is not None:
            self.plan = msgspec.structs.replace(self.plan, body=b"")

    @property
    def whole(self) -> bool:
        """Whether every answer byte so far was kept."""
        return self.kept_bytes == self.size_bytes

    def answer_sha256(self, answer: bytes) -> bytes:
        """Return the digest of the whole answer, `answer` being what was kept of it."""
        digest = self._digest or hashlib.sha256(answer)
        return digest.digest()

    def unsaved(self, opened: Callable[["Tape"], Exchange]) -> Progress | None:
        """Return what came since the last call, or None when nothing is to be saved.

        Shapes: `opened` makes the open exchange of this tape, without its answer.
        """
        if self.sealed:
            return None
        start, stop = self._saved_chunks, len(self.chunks)
        if self.open_exchange is not None and start == stop:
            return None
        part = b"".join(self.chunks[start:stop])
        if self.plan.content_kept:
            self._look_for_key(part)
        exchange = self.open_exchange
        if exchange is None or exchange.status != self.status:
            exchange = self.open_exchange = opened(self)
        at_byte, self._saved_bytes = self._saved_bytes, self.kept_bytes
        self._saved_chunks = stop
        if not self.plan.content_kept:
            start = stop
        return Progress(
            exchange=exchange,
            part=part if start < stop else b"",
            at_byte=at_byte,
            chunks=sizes_and_times(self.chunks[start:stop], self.times_us[start:stop]),
        )

    def _look_for_key(self, part: bytes) -> None:
        """Forget the content when the answer, with this part, holds the key (P5)."""
        if self.key is None:
            return
        seen = self._seam + part
        if holds(seen, self.key):
            self.forget_content()
        self._seam = seen[-len(self.key) :]


def sizes_and_times(
    chunks: Sequence[bytes], times_us: Sequence[int]
) -> tuple[Chunk, ...]:
    """Return the sizes and times of chunks, in order."""
    return tuple(map(Chunk, map(len, chunks), times_us))
