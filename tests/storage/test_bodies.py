"""Packing: what goes in comes out, and never more than allowed."""

import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from storage.bodies import RAW, ZSTD, Packer
from storage.errors import BodyTooLarge


@given(st.binary(max_size=600), st.integers(1, 5))
def test_a_body_comes_back(body: bytes, times: int) -> None:
    packer = Packer()
    whole = body * times
    assert packer.unpack(packer.pack(whole), max_bytes=len(whole)) == whole


def test_only_what_shrinks_is_compressed() -> None:
    packer = Packer()
    assert packer.pack(b"a" * 500)[:1] == ZSTD
    assert packer.pack(os.urandom(500))[:1] == RAW


@pytest.mark.parametrize("body", [b"a" * 5000, b"abc"])
def test_a_body_past_the_limit_is_refused(body: bytes) -> None:
    packer = Packer()
    packed = packer.pack(body)
    with pytest.raises(BodyTooLarge):
        packer.unpack(packed, max_bytes=len(body) - 1)


def test_what_no_pack_made_is_refused() -> None:
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"a" * 500)
    for packed in (b"", b"\x07abc", ZSTD + unsized):
        with pytest.raises(ValueError, match="stored body"):
            Packer().unpack(packed, max_bytes=1000)
    with pytest.raises(zstandard.ZstdError):
        Packer().unpack(ZSTD + b"abc", max_bytes=1000)
