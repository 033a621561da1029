"""A coded copy is read within bounds, or it is said why not."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from proxy import decode as module
from proxy.decode import Decoded, decode
from tests.proxy.vectors import VECTORS

PLAIN = VECTORS["a1_text"]


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def flushed_gzip(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    events = [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]
    pieces = [engine.compress(e) + engine.flush(zlib.Z_SYNC_FLUSH) for e in events]
    return b"".join(pieces) + engine.flush()


CODERS = {
    b"gzip": gzip.compress,
    b"x-gzip": flushed_gzip,
    b"deflate": zlib.compress,
    b"br": brotli.compress,
    b"zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", CODERS)
def test_h60_each_coding_is_undone(coding: bytes) -> None:
    assert decode(CODERS[coding](PLAIN), coding) == Decoded(PLAIN)
    assert decode(CODERS[coding](PLAIN), b" " + coding.upper()) == Decoded(PLAIN)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 300_000])
@pytest.mark.parametrize("coding", CODERS)
def test_h60_each_size_is_undone(coding: bytes, size: int) -> None:
    plain = bytes(i * i % 251 for i in range(size))
    coder = gzip.compress if coding == b"x-gzip" else CODERS[coding]
    assert decode(coder(plain), coding) == Decoded(plain)


def test_h62_deflate_is_read_with_and_without_its_frame() -> None:
    assert decode(raw_deflate(PLAIN), b"deflate") == Decoded(PLAIN)
    assert decode(zlib.compress(PLAIN), b"deflate") == Decoded(PLAIN)


@pytest.mark.parametrize("coding", [b"", b"identity", b"identity, identity", b" , "])
def test_no_coding_leaves_the_bytes(coding: bytes) -> None:
    assert decode(PLAIN, coding) == Decoded(PLAIN)


def test_h60_two_codings_are_undone_and_a_third_is_not() -> None:
    twice = zlib.compress(gzip.compress(PLAIN))
    assert decode(twice, b"gzip, deflate") == Decoded(PLAIN)
    assert decode(twice, b"gzip, identity, deflate") == Decoded(PLAIN)
    assert decode(twice, b"gzip, gzip, deflate") == Decoded(twice, "undecoded=too_many")


def test_no_bytes_are_no_broken_coding() -> None:
    assert decode(b"", b"gzip") == Decoded(b"")


def test_h62_an_unknown_coding_is_named_and_the_bytes_stay() -> None:
    assert decode(PLAIN, b"zip") == Decoded(PLAIN, "undecoded=zip")
    assert decode(PLAIN, b"gzip, \xff") == Decoded(PLAIN, "undecoded=\ufffd")
    assert decode(PLAIN, b"x" * 99) == Decoded(PLAIN, f"undecoded={'x' * 32}")


def test_br_stays_undecoded_where_no_decoder_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "READS_BROTLI", False)
    coded = brotli.compress(PLAIN)
    assert decode(coded, b"br") == Decoded(coded, "undecoded=br")


def test_h60_members_one_after_the_other_are_one_body() -> None:
    coded = b"".join(gzip.compress(b"x" * i) for i in range(100))
    assert decode(coded, b"gzip") == Decoded(b"x" * sum(range(100)))
    coder = zstandard.ZstdCompressor().compress
    assert decode(coder(b"a") + coder(b"b"), b"zstd") == Decoded(b"ab")


@pytest.mark.parametrize("coding", CODERS)
def test_h62_a_body_cut_off_gives_what_came_and_says_so(coding: bytes) -> None:
    coded = CODERS[coding](PLAIN)
    for at in range(1, len(coded)):
        part = decode(coded[:at], coding)
        assert part.flag == "decode_error"
        assert PLAIN.startswith(part.data) or part.data == coded[:at]


def test_h62_a_flushed_gzip_that_broke_off_keeps_its_whole_events() -> None:
    coded = flushed_gzip(PLAIN)
    part = decode(coded[:-30], b"gzip")
    assert part.flag == "decode_error"
    assert part.data.startswith(PLAIN.split(b"\n\n")[0])


@pytest.mark.parametrize("coding", CODERS)
def test_h62_a_wrong_label_leaves_the_bytes(coding: bytes) -> None:
    assert decode(PLAIN, coding) == Decoded(PLAIN, "decode_error")


def test_h62_garbage_after_the_end_is_said_and_costs_nothing() -> None:
    coded = gzip.compress(PLAIN) + b"garbage"
    assert decode(coded, b"gzip") == Decoded(PLAIN, "decode_error")


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip", b"deflate"])
def test_s46_a_bomb_is_not_unfolded(coding: bytes) -> None:
    bomb = CODERS[coding](bytes(80 * 1024 * 1024))
    assert decode(bomb, coding) == Decoded(b"", "bomb")


@pytest.mark.parametrize("outer", [b"br", b"zstd", b"gzip", b"deflate"])
@pytest.mark.parametrize("inner", [b"br", b"zstd", b"gzip", b"deflate"])
def test_s46_a_nested_bomb_is_measured_against_the_wire(
    inner: bytes, outer: bytes
) -> None:
    bomb = CODERS[outer](CODERS[inner](bytes(8 * 1024 * 1024)))
    expected = module.MAX_RATIO * len(bomb) < 8 * 1024 * 1024
    assert (decode(bomb, inner + b"," + outer).flag == "bomb") == expected


def test_h60_the_ratio_counts_from_one_mebibyte_on() -> None:
    coder = zstandard.ZstdCompressor().compress
    assert decode(coder(bytes(1 << 20)), b"zstd") == Decoded(bytes(1 << 20))
    assert decode(coder(bytes((1 << 20) + 1)), b"zstd") == Decoded(b"", "bomb")


def test_s46_endless_empty_members_are_a_bomb() -> None:
    coded = gzip.compress(b"") * (module.MAX_MEMBERS + 1)
    assert decode(coded, b"gzip") == Decoded(b"", "bomb")
    coded = gzip.compress(b"") * module.MAX_MEMBERS
    assert decode(coded, b"gzip") == Decoded(b"")


def test_s46_a_window_past_its_bound_is_refused() -> None:
    params = zstandard.ZstdCompressionParameters(window_log=27)
    engine = zstandard.ZstdCompressor(compression_params=params).compressobj()
    coded = engine.compress(PLAIN) + engine.flush()
    assert decode(coded, b"zstd") == Decoded(coded, "decode_error")
