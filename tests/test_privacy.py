"""P5 from outside: what says the caller's key, or opts out, leaves no content."""

import asyncio
import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.canary import in_tree, key
from tests.living import RawClient, living_proxy
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)
from tests.test_capture import kept_in

pytestmark = pytest.mark.anyio


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def echo_of_the_key(request: RawRequest, wire: Wire) -> None:
    error = {"message": f"Wrong key: {request.headers['authorization']}"}
    await wire.answer(json.dumps({"error": error}).encode(), status=401)


async def test_an_upstream_that_echoes_the_key_leaves_none_of_it_on_disk(
    tmp_path: Path,
) -> None:
    secret = key("echoed")
    async with (
        scripted_upstream(echo_of_the_key) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post(
            "/v1/chat/completions", CHAT, f"Authorization: Bearer {secret}"
        )
        status, headers = await client.head()
        assert secret.encode() in await client.body(headers)
        (kept,) = kept_in(tmp_path / "s.db")
        assert [] == list(in_tree(tmp_path))
    assert 401 == status == kept.row.status
    assert b"" == kept.answer
    assert not kept.row.content_kept


async def coded_echo_of_the_key(request: RawRequest, wire: Wire) -> None:
    error = {"message": f"Wrong key: {request.headers['authorization']}"}
    body = gzip.compress(json.dumps({"error": error}).encode())
    head = (
        "HTTP/1.1 401 No\r\ncontent-type: application/json\r\n"
        f"content-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    await wire.send(head.encode() + body)


async def test_s04_a_key_echoed_under_a_coding_is_found_too(tmp_path: Path) -> None:
    secret = key("coded")
    async with (
        scripted_upstream(coded_echo_of_the_key) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post(
            "/v1/chat/completions", CHAT, f"Authorization: Bearer {secret}"
        )
        _, headers = await client.head()
        assert secret.encode() in gzip.decompress(await client.body(headers))
        (kept,) = kept_in(tmp_path / "s.db")
    assert (b"", None, False) == (
        kept.answer,
        kept.row.error,
        bool(kept.row.content_kept),
    )


async def test_s04_a_key_echoed_in_a_long_stream_is_never_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands across two notes; what was noted before it goes."""
    monkeypatch.setattr("proxy.forward.SAVE_EVERY_S", 0.01)
    db, secret = tmp_path / "s.db", key("streamed")
    said = delta(f"your key is {secret}", "stop")
    half = said.index(secret.encode()) + 10

    async def saved(size: int, *, kept: bool) -> None:
        async with asyncio.timeout(30):
            while [(size, kept)] != [  # noqa: ASYNC110  a file has no event
                (len(one.answer), bool(one.row.content_kept)) for one in kept_in(db)
            ]:
                await asyncio.sleep(0.01)

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(said[:half], end=False)
        await saved(half, kept=True)
        await wire.send(b"%x\r\n%b\r\n" % (len(said) - half, said[half:]))
        await saved(0, kept=False)
        with closing(sqlite3.connect(db)) as file:
            assert [] == file.execute("SELECT * FROM parts").fetchall()
            assert [] == file.execute("SELECT * FROM payloads").fetchall()
        assert [] == list(in_tree(tmp_path))
        await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DONE), DONE))

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post(
            "/v1/chat/completions", STREAMED, f"Authorization: Bearer {secret}"
        )
        await client.head()
        assert said[half:] in await client.reader.readuntil(DONE)
        (kept,) = kept_in(db)
        assert [] == list(in_tree(tmp_path))
    assert ("complete", "") == (kept.row.state, kept.row.prompt_preview)
    assert b"" == kept.answer == kept.request


async def test_s04_a_request_that_holds_its_own_key_is_not_kept(tmp_path: Path) -> None:
    secret = key("pasted")
    body = CHAT.replace(b'"hi"', json.dumps(f"my key is {secret}").encode())
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post(
            "/v1/chat/completions", body, f"Authorization: Bearer {secret}"
        )
        _, headers = await client.head()
        await client.body(headers)
        (kept,) = kept_in(tmp_path / "s.db")
        assert [] == list(in_tree(tmp_path))
    assert b"" == kept.request
    assert not kept.row.content_kept
    assert secret in upstream.requests[0].body.decode()


async def test_a_key_that_is_a_word_costs_no_content(tmp_path: Path) -> None:
    """Local servers are given keys such as `none`, which stand in any answer."""
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", CHAT, "Authorization: Bearer hello")
        _, headers = await client.head()
        assert b"hello" in await client.body(headers)
        (kept,) = kept_in(tmp_path / "s.db")
    assert completion() == kept.answer


async def test_an_opt_out_is_seen_inside_a_coded_body(tmp_path: Path) -> None:
    said = gzip.compress(CHAT[:-1] + b',"store":false}')
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.post("/v1/chat/completions", said, "Content-Encoding: gzip")
        _, headers = await client.head()
        await client.body(headers)
        (kept,) = kept_in(tmp_path / "s.db")
    assert said == upstream.requests[0].body
    assert b"" == kept.request == kept.answer


async def test_what_is_no_request_is_refused_in_the_envelope(tmp_path: Path) -> None:
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost a\r\n\r\n")
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        assert b"" == await client.rest()
    assert (400, "malformed_request") == (status, error["code"])
    assert "close" == headers["connection"]
    assert [] == upstream.requests
