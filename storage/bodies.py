"""Packs bodies for the disk and unpacks them within a limit."""

from collections.abc import Sequence

import zstandard

from storage.errors import BodyTooLarge
from storage.phrases import PHRASES

# What unpacking a damaged body may raise, beside `ValueError`.
DamagedFrame = zstandard.ZstdError

RAW = b"\x00"
ZSTD = b"\x01"  # as files before version 10 have it
PHRASED = b"\x02"  # zstd, after `PHRASES`

# After the phrases level 1 packs each size from 0.4 to 6 kB as small as level 3 does
# without them, in a little less time (2026-11-21).
_LEVEL = 1

_phrases = zstandard.ZstdCompressionDict(
    PHRASES, dict_type=zstandard.DICT_TYPE_RAWCONTENT
)
_phrases.precompute_compress(level=_LEVEL)

# Below this packing takes a microsecond and gains next to nothing.
_WORTH_PACKING_BYTES = 200


class Packer:
    """Packs and unpacks bodies; the contexts are kept, so one thread at a time.

    Shapes: a packed body is one codec byte, then the data as that codec has it.
    """

    def __init__(self) -> None:
        self._compress_all = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_phrases
        ).multi_compress_to_buffer
        self._decompress = {
            ZSTD: zstandard.ZstdDecompressor().decompress,
            PHRASED: zstandard.ZstdDecompressor(dict_data=_phrases).decompress,
        }

    def pack(self, data: bytes) -> bytes:
        """Return the body packed, compressed where that makes it smaller."""
        return self.pack_all((data,))[0]

    def pack_all(self, bodies: Sequence[bytes | memoryview]) -> list[bytes]:
        """Return many bodies packed, in their order.

        In one call, since each call lets go of the interpreter lock and a busy event
        loop gives it back only after a whole switch interval.
        """
        worth: list[bytes | bytearray | memoryview[int]] = [
            data for data in bodies if len(data) >= _WORTH_PACKING_BYTES
        ]
        frames = iter(self._compress_all(worth, threads=0) if worth else ())
        packed = []
        for data in bodies:
            if len(data) < _WORTH_PACKING_BYTES:
                packed.append(RAW + data)
                continue
            frame = next(frames)
            small = len(frame) < len(data)
            packed.append(b"".join((PHRASED, frame) if small else (RAW, data)))  # type: ignore[arg-type]  # a buffer, which its stub does not say
        return packed

    def unpack(self, packed: bytes, *, max_bytes: int) -> bytes:
        """Return the body as it was before packing.

        Units: `max_bytes` bounds what comes out, before memory is taken for it.
        Raises: `BodyTooLarge`; `ValueError` on what no `pack` made;
        `zstandard.ZstdError` on a damaged frame.
        """
        codec, data = packed[:1], packed[1:]
        if codec not in {RAW, ZSTD, PHRASED}:
            raise ValueError(f"unknown codec {codec!r} of a stored body")
        size = len(data) if codec == RAW else zstandard.frame_content_size(data)
        if size > max_bytes:
            raise BodyTooLarge(f"a stored body has {size} bytes, {max_bytes} allowed")
        if codec == RAW:
            return data
        if size < 0:
            raise ValueError("a stored body does not state its size")
        return self._decompress[codec](data)
