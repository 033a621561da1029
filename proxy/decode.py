"""Undoes the content coding of a recorded copy, within bounds.

The client gets the coded bytes untouched; this is what the record is read from.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard
from msgspec import Struct

try:
    import brotli
except ImportError:  # a tool of the tests; without it `br` stays undecoded
    brotli = None

# Before 1.2 it has no bound on what one step unfolds to.
READS_BROTLI = hasattr(brotli, "Decompressor") and hasattr(
    brotli.Decompressor, "can_accept_more_data"
)
MAX_CODINGS = 2
MAX_BYTES = 64 * 1024 * 1024
FREE_BYTES = 1024 * 1024  # no ratio is asked for below this
MAX_RATIO = 1000
# One gzip member holds at least 20 bytes and costs an engine (CVE-2026-128131). Block
# gzip makes one member per 64 KiB, so this reaches MAX_BYTES.
MAX_MEMBERS = 1024
# Small enough that what one step unfolds stays small: 0.5 MiB for deflate, 16 MiB for
# zstd, whose blocks of 4 bytes can stand for 128 KiB.
STEP_BYTES = 512
BROTLI_PIECE_BYTES = 1024 * 1024
ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # RFC 9659, section 3
KNOWN = (b"gzip", b"deflate", b"br", b"zstd")
ALIASES = {b"x-gzip": b"gzip"}  # RFC 9110, section 8.4.1.3


class Decoded(Struct, frozen=True):
    """What came out.

    Shapes: `flag` is None where all of it was decoded, else why not: `undecoded=br`
    names the first coding that was not undone (`data` is as it came), `decode_error`
    says the coding was broken or cut off (`data` is what could be read, or as it came
    where nothing could), `bomb` that it unfolds past its bounds (`data` is empty).
    """

    data: bytes
    flag: str | None = None


class _Engine(Protocol):
    """What zlib's and zstandard's decompression objects share."""

    @property
    def eof(self) -> bool:
        """Whether the member's end was read."""

    @property
    def unused_data(self) -> bytes:
        """What came after that end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return what `data`, the next bytes, unfolds to."""


def decode(data: bytes, content_encoding: bytes) -> Decoded:
    """Return `data` without its content codings.

    Shapes: `content_encoding` is the header's value, codings in the order applied.
    Source: RFC 9110, section 8.4.

    >>> decode(b"hi", b"identity")
    Decoded(data=b'hi', flag=None)
    """
    named = [part.strip().lower() for part in content_encoding.split(b",")]
    codings = [ALIASES.get(name, name) for name in named]
    codings = [name for name in codings if name not in {b"", b"identity"}]
    for name in codings:
        if name not in KNOWN or (name == b"br" and not READS_BROTLI):
            return Decoded(data, f"undecoded={name[:32].decode('ascii', 'replace')}")
    if not data:
        return Decoded(data)
    if len(codings) > MAX_CODINGS:
        return Decoded(data, "undecoded=too_many")
    max_bytes = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * len(data)))
    flag = None
    for name in reversed(codings):
        undone = _undo(data, name, max_bytes)
        if undone.flag == "bomb":
            return undone
        data, flag = undone.data, undone.flag or flag
    return Decoded(data, flag)


def _undo(data: bytes, coding: bytes, max_bytes: int) -> Decoded:
    if coding == b"gzip":
        return _collect(data, _members(data, _gzip), max_bytes)
    if coding == b"zstd":
        return _collect(data, _members(data, _zstd), max_bytes)
    if coding == b"br":
        return _collect(data, _brotli(data), max_bytes)
    # Half the world says deflate and means it without the zlib frame (RFC 9110,
    # section 8.4.1.2): ask for the frame first.
    framed = _collect(data, _members(data, zlib.decompressobj), max_bytes)
    if framed.flag == "decode_error" and framed.data is data:
        return _collect(data, _members(data, _raw_deflate), max_bytes)
    return framed


def _collect(data: bytes, pieces: Iterator[bytes], max_bytes: int) -> Decoded:
    collected: list[bytes] = []
    size_bytes = 0
    flag = None
    try:
        for piece in pieces:
            size_bytes += len(piece)
            if size_bytes > max_bytes:
                return Decoded(b"", "bomb")
            collected.append(piece)
    except OverflowError:
        return Decoded(b"", "bomb")
    except (EOFError, zlib.error, zstandard.ZstdError):
        flag = "decode_error"
    if flag is not None and size_bytes == 0:
        return Decoded(data, flag)
    return Decoded(b"".join(collected), flag)


def _members(data: bytes, make: Callable[[], _Engine]) -> Iterator[bytes]:
    """Yield what each member unfolds to, until the last byte is used.

    Raises: `EOFError` if the last member is cut off, `OverflowError` if there are too
    many, and what the engine raises.
    """
    at = count = 0
    while at < len(data):
        count += 1
        if count > MAX_MEMBERS:
            raise OverflowError
        engine = make()
        while not engine.eof:
            step = data[at : at + STEP_BYTES]
            if not step:
                raise EOFError
            yield engine.decompress(step)
            at += len(step)
        at -= len(engine.unused_data)


def _brotli(data: bytes) -> Iterator[bytes]:
    engine = brotli.Decompressor()
    try:
        for at in range(0, len(data), STEP_BYTES):
            step = data[at : at + STEP_BYTES]
            yield engine.process(step, output_buffer_limit=BROTLI_PIECE_BYTES)
            while not engine.can_accept_more_data():
                yield engine.process(b"", output_buffer_limit=BROTLI_PIECE_BYTES)
    except brotli.error as exc:
        raise EOFError from exc
    if not engine.is_finished():
        raise EOFError


def _gzip() -> _Engine:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def _raw_deflate() -> _Engine:
    return zlib.decompressobj(-zlib.MAX_WBITS)


def _zstd() -> _Engine:
    return zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
