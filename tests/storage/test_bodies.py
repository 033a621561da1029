"""Packing: what goes in comes out, and never more than allowed."""

import os
from hashlib import sha256

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from storage.bodies import PHRASED, RAW, ZSTD, Packer
from storage.errors import BodyTooLarge
from storage.phrases import PHRASES


@given(st.binary(max_size=600), st.integers(1, 5))
def test_a_body_comes_back(body: bytes, times: int) -> None:
    packer = Packer()
    whole = body * times
    assert packer.unpack(packer.pack(whole), max_bytes=len(whole)) == whole


def test_only_what_shrinks_is_compressed() -> None:
    packer = Packer()
    assert packer.pack(b"a" * 500)[:1] == PHRASED
    assert packer.pack(os.urandom(500))[:1] == RAW


def test_the_phrases_are_those_that_files_are_read_with() -> None:
    """They are part of the format on disk: other phrases need another codec."""
    digest = "100fd4382dacdba24af10fe29068d8b56ff8905836e848e4397f98443543326f"
    assert sha256(PHRASES).hexdigest() == digest
    body = (
        b'{"role":"assistant","content":"The spirit safe is locked.","refusal":null,'
        b'"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{'
        b'"prompt_tokens":7,"completion_tokens":6,"total_tokens":13}'
    )
    packed = bytes.fromhex(
        "0228b52ffd20c89d0100f0546865207370697269742073616665206973206c6f636b65642e"
        "3736337d06006016f09df8054ec1af41648a06953db38041"
    )
    assert Packer().unpack(packed, max_bytes=len(body)) == body


def test_a_body_packed_before_there_were_phrases_comes_back() -> None:
    body = b'{"id":"chatcmpl-7","object":"chat.completion"}' * 10
    packed = ZSTD + zstandard.ZstdCompressor(level=3).compress(body)
    assert Packer().unpack(packed, max_bytes=len(body)) == body


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
