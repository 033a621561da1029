"""Bodies that are coded, odd or large: they pass as they are, the record reads a copy."""

import gzip
import json
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard

from tests.living import RawClient
from tests.scripted_upstream import CHAT, STREAMED, RawRequest, Wire, completion, delta
from tests.scripted_upstream import DONE as LAST
from tests.transparency.standing import standing
from tests.transparency.wire import (
    PLAIN,
    answer,
    ask,
    chat,
    request,
    saying,
    sent,
    whole,
)

pytestmark = pytest.mark.anyio


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


CODINGS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("br", brotli.compress),
    ("zstd", zstandard.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
]


def coded(body: bytes, coding: str) -> bytes:
    return whole(body, b"content-encoding: " + coding.encode())


async def test_h60_a_coded_answer_passes_as_it_is_and_its_copy_is_read(
    tmp_path: Path,
) -> None:
    """The upstream codes although it was asked not to: preview and usage are there."""
    async with standing(tmp_path, PLAIN) as at:
        for coding, encode in CODINGS:
            body = encode(completion("a coded answer"))
            at.upstream.script = saying(coded(body, coding))
            got = await ask(at.client, chat(CHAT, b"accept-encoding: gzip, br"))
            assert [b"identity"] == sent(at.asked, b"accept-encoding")
            assert [coding.encode()] == got.values(b"content-encoding")
            kept = at.kept()
            assert body == got.body == kept.answer
            assert (coding, "a coded answer") == (coding, kept.row.answer_preview)
            assert (3, 1) == (kept.row.prompt_tokens, kept.row.completion_tokens)
            assert ("complete", ()) == (kept.row.state, kept.flags)


async def test_h60_a_coded_stream_passes_as_it_is_and_its_copy_is_read(
    tmp_path: Path,
) -> None:
    async with standing(tmp_path, PLAIN) as at:
        for coding, encode in CODINGS:
            body = encode(delta("coded ") + delta("stream", "stop") + LAST)

            async def script(
                _: RawRequest, wire: Wire, body: bytes = body, coding: str = coding
            ) -> None:
                head = (
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                    f"content-encoding: {coding}\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                await wire.send(head.encode())
                for at in range(0, len(body), 7):
                    piece = body[at : at + 7]
                    await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                await wire.send(b"0\r\n\r\n")

            at.upstream.script = script
            got = await ask(at.client, chat(STREAMED))
            kept = at.kept()
            assert body == got.body == kept.answer
            assert (coding, "complete") == (coding, kept.row.state)
            assert "coded stream" == kept.row.answer_preview


ODDLY_CODED = [
    ("compress", b"whatever", "undecoded=compress"),
    ("snappy", b"\xff\x06\x00\x00sNaPpY", "undecoded=snappy"),
    ("gzip, gzip, gzip", b"whatever", "undecoded=too_many"),
    ("gzip", completion(), "decode_error"),
    ("gzip", gzip.compress(completion() * 9)[:-20], "decode_error"),
    ("br", b"no brotli at all", "decode_error"),
    ("zstd", b"no zstd at all", "decode_error"),
    ("gzip", gzip.compress(bytes(80 * 1024 * 1024)), "bomb"),
    ("zstd", zstandard.compress(bytes(80 * 1024 * 1024)), "bomb"),
    ("gzip, gzip", gzip.compress(gzip.compress(bytes(80 * 1024 * 1024))), "bomb"),
]


async def test_h60_h62_what_cannot_be_decoded_passes_and_is_flagged(
    tmp_path: Path,
) -> None:
    """Unknown, broken and cut codings, and bombs: the client gets those bytes."""
    async with standing(tmp_path, PLAIN) as at:
        for coding, body, flag in ODDLY_CODED:
            at.upstream.script = saying(coded(body, coding))
            got = await ask(at.client, chat(CHAT))
            kept = at.kept()
            assert (200, body) == (got.status, got.body)
            assert body == kept.answer
            assert (coding, flag) == (coding, kept.flags[0])


async def test_h62_identity_is_no_coding(tmp_path: Path) -> None:
    script = saying(coded(completion("plain"), "identity"))
    async with standing(tmp_path, script) as at:
        assert completion("plain") == (await ask(at.client, chat(CHAT))).body
        kept = at.kept()
    assert ((), "plain") == (kept.flags, kept.row.answer_preview)


async def test_h61_a_coded_request_passes_untouched_and_is_flagged(
    tmp_path: Path,
) -> None:
    body = gzip.compress(CHAT)
    async with standing(tmp_path, PLAIN, tags={"a": "b"}) as at:
        got = await ask(at.client, chat(body, b"content-encoding: gzip"))
        kept = at.kept()
        assert 200 == got.status
        assert body == at.asked.body == kept.request
        assert [b"gzip"] == sent(at.asked, b"content-encoding")
    assert ["header"] == [edit.where for edit in kept.edits]
    assert ("edit_skipped=encoded",) == kept.flags


async def test_h63_accept_encoding_is_never_widened(tmp_path: Path) -> None:
    """A captured request asks for identity, any other for what its client asked."""
    async with standing(tmp_path, PLAIN) as at:
        await ask(at.client, chat(CHAT, b"accept-encoding: identity"))
        assert [b"identity"] == sent(at.asked, b"accept-encoding")
        assert "header" not in {edit.where for edit in at.kept().edits}
        await ask(at.client, request("GET", b"/v1/models"))
        assert [] == sent(at.asked, b"accept-encoding")
        await ask(at.client, request("GET", b"/v1/models", b"accept-encoding: br;q=0"))
        assert [b"br;q=0"] == sent(at.asked, b"accept-encoding")


async def test_h65_multipart_arrives_byte_for_byte(tmp_path: Path) -> None:
    boundary = b'multipart/form-data; boundary="x \' y"; charset=utf-8'
    body = (
        b'preamble\r\n--x \' y\r\nContent-Disposition: form-data; name="file"; '
        b'filename="a\xff.wav"\r\n\r\n' + bytes(range(256)) * 500 + b"\r\n--x ' y--\n"
    )

    async def echo(asked: RawRequest, wire: Wire) -> None:
        await wire.answer(asked.body)

    async with standing(tmp_path, echo) as at:
        for target in (b"/v1/audio/transcriptions", b"/v1/chat/completions"):
            kind = b"Content-Type: " + boundary
            got = await ask(at.client, request("POST", target, kind, body=body))
            assert [boundary] == sent(at.asked, b"content-type")
            assert body == at.asked.body == got.body
        assert body == at.kept().request


@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/files"])
async def test_h66_a_body_in_one_byte_chunks_arrives_whole(
    tmp_path: Path, target: bytes
) -> None:
    """Ten thousand chunks of one byte each way, and an empty body."""
    body = json.dumps({"model": "m", "n": "x" * 10_000}).encode()

    async def echo(asked: RawRequest, wire: Wire) -> None:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in asked.body)
        kind = b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        await wire.send(b"HTTP/1.1 200 OK\r\n" + kind)
        for at in range(0, len(chunks), 6000):
            await wire.send(chunks[at : at + 6000])
        await wire.send(b"0\r\n\r\n")

    async with standing(tmp_path, echo) as at:
        for sending in (body, b""):
            chunked = b"transfer-encoding: chunked"
            await at.client.send(request("POST", target, chunked))
            for byte in sending:
                at.client.writer.write(b"1\r\n%c\r\n" % byte)
            await at.client.send(b"0\r\n\r\n")
            got = await answer(at.client)
            assert at.asked.body.endswith(sending[1:])
            assert at.asked.body == got.body
        if target != b"/v1/files":
            assert b"" == at.kept().request


async def test_h67_ranges_and_conditions_are_the_upstreams_business(
    tmp_path: Path,
) -> None:
    lines = [b"range: bytes=0-3", b'if-range: "e"', b'if-match: "f"']
    part = b"HTTP/1.1 206 Partial\r\ncontent-range: bytes 0-3/9\r\ncontent-length: 4\r\n\r\nabcd"
    unchanged = b'HTTP/1.1 304 Same\r\netag: "e"\r\ncontent-length: 9\r\n\r\n'
    async with standing(tmp_path, saying(part)) as at:
        got = await ask(at.client, request("GET", b"/v1/files/f/content", *lines))
        assert (206, b"abcd") == (got.status, got.body)
        assert [b"bytes 0-3/9"] == got.values(b"content-range")
        for line in lines:
            name, _, said = line.partition(b": ")
            assert [said] == sent(at.asked, name)
        at.upstream.script = saying(unchanged)
        got = await ask(at.client, request("GET", b"/v1/files/f/content"))
        assert (304, [b"9"]) == (got.status, got.values(b"content-length"))
        assert 304 == (await ask(at.client, request("GET", b"/v1/x"))).status


async def test_a_large_body_arrives_whole_and_is_kept(tmp_path: Path) -> None:
    """Eight megabytes up and down, through more reads than anybody counts."""
    text = bytes(range(32, 127)).replace(b'"', b"").replace(b"\\", b"") * 90_000
    body = b'{"model":"m","messages":[{"role":"user","content":"' + text + b'"}]}'

    async def echo(asked: RawRequest, wire: Wire) -> None:
        await wire.answer(asked.body)

    async with (
        standing(tmp_path, echo) as at,
        RawClient.connect(at.proxy.port) as client,
    ):
        got = await ask(client, chat(body))
        assert at.asked.body == got.body
        assert b'{"store":true,' + body[1:] == got.body
        assert body == at.kept().request
