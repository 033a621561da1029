"""Requests that two servers could read differently: refused, or sent on as one (H-01…)."""

import json
from pathlib import Path

import pytest

from tests.scripted_upstream import RawRequest, Wire, completion
from tests.wire.scene import Scene, scene

pytestmark = pytest.mark.anyio

BODY = b'{"model":"m"}'
CHUNKED = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"
FIRST = b"POST /v1/files HTTP/1.1"
LENGTH = b"content-length: "
CODING = b"transfer-encoding: "


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


def raw(*lines: bytes, body: bytes = BODY, first: bytes = FIRST) -> bytes:
    """Return a request of these lines, `host` before them."""
    return b"\r\n".join((first, b"host: a", *lines)) + b"\r\n\r\n" + body


def coded(*lines: bytes, body: bytes = CHUNKED, first: bytes = FIRST) -> bytes:
    """Return a request with a chunked body."""
    return raw(CODING + b"chunked", *lines, body=body, first=first)


async def refused(at: Scene, data: bytes, *statuses: int) -> None:
    """Send what must reach nobody: it is refused, and so is all that follows it."""
    async with at.client() as client:
        await client.send(data + b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        status, headers = await client.head()
        body = await client.body(headers)
        assert status in statuses, (data, status)
        assert "close" == headers["connection"]
        assert headers["x-spiritsafe-error"] == json.loads(body)["error"]["code"]
        assert b"" == await client.rest(), data
    assert [] == at.upstream.requests, data


async def passes(at: Scene, data: bytes, body: bytes = BODY) -> RawRequest:
    """Send what must pass as one request; return what the upstream got."""
    before = len(at.upstream.requests)
    async with at.client() as client:
        await client.send(data)
        assert 200 == (await client.head())[0], data
    assert 1 == len(at.upstream.requests) - before
    got = at.upstream.requests[-1]
    assert body == got.body
    names = [line.partition(b":")[0].lower() for line in got.head.split(b"\r\n")[1:]]
    framed = [
        name for name in names if name in {b"content-length", b"transfer-encoding"}
    ]
    assert 1 == len(framed), got.head
    assert 1 == names.count(b"host")
    return got


async def test_h01_length_and_coding_together_are_refused(tmp_path: Path) -> None:
    async with scene(tmp_path, plain) as at:
        for lines in ((b"13", b"chunked"), (b"0", b"chunked"), (b"13", b"CHUNKED")):
            pair = (LENGTH + lines[0], CODING + lines[1])
            await refused(at, raw(*pair, body=CHUNKED), 400)
            await refused(at, raw(*reversed(pair), body=CHUNKED), 400)


@pytest.mark.parametrize(
    "lines",
    [
        (LENGTH + b"13", LENGTH + b"14"),
        (LENGTH + b"13", LENGTH + b"13"),
        (LENGTH + b"13, 14",),
        (LENGTH + b"13, 13",),
        (LENGTH + b"13", b"Content-Length: 13"),
    ],
)
async def test_h02_more_than_one_length_is_refused(
    tmp_path: Path, lines: tuple[bytes, ...]
) -> None:
    async with scene(tmp_path, plain) as at:
        await refused(at, raw(*lines), 400)


async def test_h03_a_length_is_digits_and_nothing_else(tmp_path: Path) -> None:
    """Leading zeros too are refused: some read them as octal."""
    odd = (
        b"+13|-13|0xd|1 3|1_3|013|00||13e0|13.0|\xa013|13\xa0|\v13|13\v|13;|'13'|\x0013"
    )
    values = [*odd.split(b"|"), b"1" * 20, b"9" * 400, "١٣".encode()]
    async with scene(tmp_path, plain) as at:
        for value in values:
            await refused(at, raw(LENGTH + value), 400)
        for space in (b"", b" ", b"\t"):  # white space around a value belongs to none
            await passes(at, raw(LENGTH + space + b"13" + space))


async def test_h04_only_chunked_is_a_coding(tmp_path: Path) -> None:
    odd = (
        b'identity|xchunked|chunked, identity|identity, chunked|,chunked|chunked,|"chunked"'
        b"|chunked;q=1|chunked;|\vchunked|\fchunked|\x00chunked|\x85chunked|\xa0chunked"
        b"|chunked\xa0|chunked\x00|gzip, chunked|gzip|chunked, chunked||chunked chunked"
        b"|\r\n chunked|\r\n\tchunked|chunked\r\n\tx|ch\r\n unked|'chunked'|chunke|cow"
    )
    async with scene(tmp_path, plain) as at:
        for value in odd.split(b"|"):
            await refused(at, raw(CODING + value, body=CHUNKED), 400, 501)
        twice = (CODING + b"chunked", CODING + b"chunked")
        await refused(at, raw(*twice, body=CHUNKED), 400)
        await refused(at, raw(CODING + b"identity", *twice[:1], body=CHUNKED), 400)
        await refused(at, coded(first=b"POST /v1/files HTTP/1.0"), 400)
        for value in (b"chunked", b"CHUNKED", b"Chunked", b"\tchunked"):
            await passes(at, raw(CODING + value, body=CHUNKED))


async def test_h05_names_are_tokens_and_framing_has_one_spelling(
    tmp_path: Path,
) -> None:
    odd = (
        b": x| a: x|\ta: x|a : x|a\t: x|Content_Length: 5|content_length: 13|a|a\x00b: x"
        b"|Transfer_Encoding: chunked|a(b: x|a\xffb: x|a\xc3\xa9: x|a\vb: x|a@b: x|{: x"
    )
    async with scene(tmp_path, plain) as at:
        for line in odd.split(b"|"):
            await refused(at, raw(line, LENGTH + b"13"), 400)
            await refused(at, raw(LENGTH + b"13", line), 400)
        got = await passes(at, raw(LENGTH + b"13", b"X_Odd_Name: y"))
        assert "y" == got.headers["x_odd_name"]
        assert "x-odd-name" not in got.headers


async def test_h06_values_hold_no_line_ends_and_no_controls(tmp_path: Path) -> None:
    controls = [bytes([byte]) for byte in (*range(9), *range(10, 32), 127)]
    async with scene(tmp_path, plain) as at:
        for byte in controls:
            await refused(at, raw(b"x: a" + byte + b"b", LENGTH + b"13"), 400)
        for line in (b"x: a\r\n b", b"x: a\r\n\tb", b"x:\r\n b"):
            await refused(at, raw(line, LENGTH + b"13"), 400)
        got = await passes(at, raw(b"x: a\tb \x80\xff~", LENGTH + b"13"))
        assert b"x: a\tb \x80\xff~" in got.head


async def test_h07_a_chunk_is_framed_exactly(tmp_path: Path) -> None:
    """Leading zeros of a size are read, since we write sizes anew (H-08)."""
    sizes = b'0xd|+d|-d|d_0| d|d |\td|d\t||g|d\n|d\r|1000000000000000d|d;a\nb|d;a\rb|d;a="\r\n"'
    async with scene(tmp_path, plain) as at:
        for size in sizes.split(b"|"):
            body = size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
            await refused(at, coded(body=body), 400)
        for body in (
            b"d\r\n" + BODY + b"0\r\n\r\n",  # no line end behind the data
            b"d\r\n" + BODY + b"xx0\r\n\r\n",
            b"d\r\n" + BODY + b"\n0\r\n\r\n",
            b"d\n" + BODY + b"\r\n0\r\n\r\n",
            b"d\r\n" + BODY + b"\r\n0\n\r\n",
            b"d\r\n" + BODY + b"\r\n0\r\nx: y\n\r\n",
        ):
            await refused(at, coded(body=body), 400)
        for zeros in (b"0d", b"0" * 16 + b"d"):
            await passes(at, coded(body=zeros + CHUNKED[1:]))


async def test_h08_chunks_are_framed_anew_and_extensions_end_here(
    tmp_path: Path,
) -> None:
    body = b'1;a=b\r\n{\r\nC;c="d e"\r\n"model":"m"}\r\n000;e\r\n\r\n'
    async with scene(tmp_path, plain) as at, at.client() as client:
        await client.send(coded(body=body))
        assert 200 == (await client.head())[0]
        (got,) = at.upstream.requests
        assert BODY == got.body


async def test_h09_trailers_are_dropped(tmp_path: Path) -> None:
    """Whatever they name, and however soon the whole request is here."""
    names = (b"host", b"authorization", b"te", b"content-type", b"x-new", b"via")
    trailers = b"".join(name + b": evil\r\n" for name in names)
    body = CHUNKED[:-2] + trailers + b"\r\n"
    framing = (LENGTH + b"99\r\n", CODING + b"chunked\r\n")
    for path in (b"/v1/files", b"/v1/chat/completions"):
        first = b"POST " + path + b" HTTP/1.1"
        async with scene(tmp_path, plain) as at:
            lines = (b"authorization: Bearer mine", b"trailer: host, authorization")
            async with at.client() as client:
                await client.send(coded(*lines, body=body, first=first))
                assert 200 == (await client.head())[0]
            (got,) = at.upstream.requests
            assert b"evil" not in got.head
            assert b"trailer" not in got.head
            assert "Bearer mine" == got.headers["authorization"]
        for line in framing:
            async with scene(tmp_path, plain) as at, at.client() as client:
                data = coded(body=CHUNKED[:-2] + line + b"\r\n", first=first)
                await client.send(data)
                assert 400 == (await client.head())[0]
                assert await client.rest()  # its body; then nothing
                assert [] == [it for it in at.upstream.requests if b"99" in it.head]


@pytest.mark.parametrize("path", [b"/nowhere", b"/v1/chat/completions"])
async def test_h10_behind_a_refusal_nothing_is_read(
    tmp_path: Path, path: bytes
) -> None:
    """What stands where the rest of a body was due is no request (0.CL)."""
    first = b"POST " + path + b" HTTP/1.1"
    inner = b"GET /v1/evil HTTP/1.1\r\nhost: a\r\n\r\n"
    async with scene(tmp_path, plain, max_request_bytes=10) as at:
        for head in (
            raw(LENGTH + b"9999", body=b"", first=first),
            coded(body=b"fff\r\n", first=first),
        ):
            async with at.client() as client:
                await client.send(head + b"x" * 20)
                status, headers = await client.head()
                await client.body(headers)
                assert (status, headers["connection"]) in {
                    (404, "close"),
                    (413, "close"),
                }
                await client.send(inner)
                assert b"" == await client.rest()
        assert [] == at.upstream.requests


async def test_h10_behind_connection_close_nothing_is_read(tmp_path: Path) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        one = raw(LENGTH + b"13", b"connection: close")
        await client.send(one + one)
        assert 200 == (await client.head())[0]
        assert completion() == await client.rest()
        assert 1 == len(at.upstream.requests)


async def test_h10_garbage_behind_a_request_does_not_cost_it_its_answer(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        await client.send(raw(LENGTH + b"13") + b"\x00garbage\r\n\r\n")
        assert 200 == (await client.head())[0]
        assert completion() == await client.rest()
        assert 1 == len(at.upstream.requests)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE"])
async def test_h11_a_body_of_any_method_is_framed(
    tmp_path: Path, method: bytes
) -> None:
    """And the request behind it is the next one, not a part of it."""
    first = method + b" /v1/files HTTP/1.1"
    async with scene(tmp_path, plain) as at, at.client() as client:
        for data in (raw(LENGTH + b"13", first=first), coded(first=first)):
            await client.send(data)
            status, headers = await client.head()
            assert 200 == status
            if method != b"HEAD":
                assert completion() == await client.body(headers)
        assert [BODY, BODY] == [got.body for got in at.upstream.requests]
        assert [method] * 2 == [got.head.split()[0] for got in at.upstream.requests]


async def test_h12_100_continue_only_where_the_body_will_be_read(
    tmp_path: Path,
) -> None:
    line = b"expect: 100-continue"
    chat = b"POST /v1/chat/completions HTTP/1.1"
    async with scene(tmp_path, plain, max_request_bytes=99) as at:
        for first, length, expected in (
            (b"POST /nowhere HTTP/1.1", b"13", 404),
            (chat, b"100", 413),
            (chat, b"13", 100),
            (FIRST, b"13", 100),
        ):
            async with at.client() as client:
                await client.send(raw(line, LENGTH + length, body=b"", first=first))
                assert expected == (await client.head())[0]
                if expected == 100:
                    await client.send(BODY)
                    assert 200 == (await client.head())[0]
        for value in (b"200-ok", b"100-continue, x", b"", b"100-continues"):
            async with at.client() as client:
                await client.send(raw(b"expect: " + value, LENGTH + b"13", body=b""))
                status, headers = await client.head()
                assert (417, "close") == (status, headers["connection"])
        async with at.client() as client:  # it does not wait
            await client.send(raw(line, LENGTH + b"13"))
            assert 100 == (await client.head())[0]
            assert 200 == (await client.head())[0]
