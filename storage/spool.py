"""Keeps finished exchanges in an append-only file while the database cannot.

The fourth line of defence (reliability.md 2.5). A frame is length and CRC-32 (of length
and digest) as little-endian u32, the SHA-256 of the payload, the payload. So a torn
head, a torn tail and a flipped bit are told apart.
"""

import logging
import os
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from storage.damage import free_name
from storage.records import Exchange

_log = logging.getLogger(__name__)

_HEAD = struct.Struct("<II32s")
_SLICE_BYTES = 8 * 1024 * 1024

_flush = getattr(os, "fdatasync", os.fsync)


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One exchange, and the run that took it in.

    Shapes: `accepted` is how many that run had accepted when this was spooled, which
    its row in the database may not know any more.
    """

    epoch: int
    started_at: int
    accepted: int
    exchange: Exchange


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Frame)


class Slice(NamedTuple):
    """What was read at one go.

    Shapes: `next_at` is where to read on, `at` itself at the end; `damaged` frames in
    between were skipped; `torn` says that what follows is no frame.
    """

    frames: list[Frame]
    next_at: int
    damaged: int
    torn: bool


class Spool:
    """The file of one recorder; bounded; nothing in it is trusted until it verifies.

    `size_bytes` counts what is synced. Calls must not overlap; they may block on disk.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._file: int | None = None
        self._failing = False  # said in the log, once until it works again
        self._broken = False  # a sync failed: what it holds now is unknown

    @property
    def usable(self) -> bool:
        """Whether a frame could be taken: opened, no sync failed, not at its bound."""
        return self._file is not None and not self._broken and self._has_room

    @property
    def _has_room(self) -> bool:
        return self.size_bytes < self._max_bytes

    def open(self) -> None:
        """Open the file, for its owner's eyes only, and sync that it exists.

        Raises: `OSError`.
        """
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        self._broken = False
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.size_bytes = os.fstat(self._file).st_size

    def append(self, frames: Sequence[Frame]) -> list[bool]:
        """Write and sync these; return for each whether it is on disk.

        All are or none is, but for those that no file takes, nor the database.
        """
        data = [framed(frame) for frame in frames]
        kept = self._append(b"".join(data))
        return [kept and bool(one) for one in data]

    def _append(self, data: bytes) -> bool:
        if not self.usable or self._file is None:
            return False
        if self.size_bytes + len(data) > self._max_bytes:
            return False
        try:
            _write_all(self._file, data, self.size_bytes)
        except OSError as exc:
            self._forget(exc)
            return False
        try:
            _flush(self._file)
        except OSError as exc:
            self._broken = True  # never synced again to call it good: unknown is lost
            self._forget(exc)
            return False
        self.size_bytes += len(data)
        self._failing = False
        return True

    def read(self, at: int = 0) -> Slice:
        """Return the frames from there on, some megabytes of them.

        Raises: `OSError`.
        """
        frames: list[Frame] = []
        damaged, start = 0, at
        while at < self.size_bytes and at - start < _SLICE_BYTES:
            head = self._read(_HEAD.size, at)
            length = _length(head)
            if length is None or at + _HEAD.size + length > self.size_bytes:
                return Slice(frames, at, damaged, torn=True)
            payload = self._read(length, at + _HEAD.size)
            at += _HEAD.size + length
            frame = _payload(head, payload)
            if frame is None:
                damaged += 1
            else:
                frames.append(frame)
        return Slice(frames, at, damaged, torn=False)

    def clear(self) -> None:
        """Empty the file: all it held is in the database.

        Raises: `OSError`; then it is read again at the next start, which does no harm.
        """
        self.size_bytes = 0
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
            self._broken = False

    def keep_aside(self, *, now_at: int) -> Path:
        """Rename the file, of which not all could be read, and open a new one.

        Raises: `OSError`.
        """
        aside = free_name(self.path, now_at=now_at)
        self.close()
        self.path.rename(aside)
        self.open()
        return aside

    def close(self) -> None:
        """Close the file, and remove it when it is empty."""
        if self._file is None:
            return
        with suppress(OSError):
            if not os.fstat(self._file).st_size:
                self.path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None

    def _read(self, size_bytes: int, at: int) -> bytes:
        return b"" if self._file is None else os.pread(self._file, size_bytes, at)

    def _forget(self, error: OSError) -> None:
        if not self._failing:
            _log.error("spooling to %s failed: %r", self.path, error)
        self._failing = True
        if self._file is not None:
            with suppress(OSError):  # the next frame is written over it either way
                os.ftruncate(self._file, self.size_bytes)


def framed(frame: Frame) -> bytes:
    """Return the bytes of a frame; none where it holds what cannot be encoded."""
    try:
        payload = _encode(frame)
    except (ValueError, OverflowError, TypeError):
        return b""
    digest = sha256(payload).digest()
    return _HEAD.pack(len(payload), _check(len(payload), digest), digest) + payload


def _check(length: int, digest: bytes) -> int:
    return zlib.crc32(length.to_bytes(4, "little") + digest)


def _length(head: bytes) -> int | None:
    """Return the length that a head tells, None where it is none."""
    if len(head) < _HEAD.size:
        return None
    length, check, digest = _HEAD.unpack(head)
    return length if check == _check(length, digest) else None


def _payload(head: bytes, payload: bytes) -> Frame | None:
    if sha256(payload).digest() != head[-32:]:
        return None
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, ValueError):
        return None


def _write_all(file: int, data: bytes, at: int) -> None:
    """Write all of it: a call may take less, as at a quota."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, at)
        rest, at = rest[written:], at + written
