"""Odd answers of an upstream, through the whole proxy (H-20 to H-30, H-86, F-39 to F-42)."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.scripted_upstream import (
    CHAT,
    STREAMED,
    RawRequest,
    Script,
    Wire,
    completion,
)
from tests.wire.scene import CHAT_PATH, scene, to_the_end

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
BODY = completion()
LENGTH = b"content-length: %d\r\n" % len(BODY)
JSON = b"content-type: application/json\r\n"

HOSTILE = {
    "length_and_chunked": OK + LENGTH + b"transfer-encoding: chunked\r\n\r\n",
    "two_lengths": OK + LENGTH + b"content-length: 5\r\n\r\n" + BODY,
    "signed_length": OK + b"content-length: +5\r\n\r\nhello",
    "unknown_coding": OK + b"transfer-encoding: gzip\r\n\r\n" + BODY,
    "folded_header": OK + b"x-a: b\r\n c\r\n" + LENGTH + b"\r\n" + BODY,
    "space_before_colon": OK + b"x-a : b\r\n" + LENGTH + b"\r\n" + BODY,
    "endless_head": OK + b"x-a: " + b"a" * 200_000,
    "status_099": b"HTTP/1.1 099 No\r\n" + LENGTH + b"\r\n" + BODY,
    "status_600": b"HTTP/1.1 600 No\r\n" + LENGTH + b"\r\n" + BODY,
    "bad_status_line": b"HTTP/1.1 twenty OK\r\n\r\n",
    "garbage": b"\x00\x01\x02\x03" * 64 + b"\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "http2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18 + b"\r\n\r\n",
    "unasked_switch": b"HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "many_interim": b"HTTP/1.1 102 Wait\r\n\r\n" * 51 + OK + LENGTH + b"\r\n" + BODY,
}


def saying(data: bytes, *, close: bool = False) -> Script:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(data)
        if close:
            wire.close()

    return script


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
async def test_h20_f40_what_is_no_answer_is_a_502_and_the_connection_is_given_up(
    tmp_path: Path, data: bytes
) -> None:
    async with scene(tmp_path, saying(data)) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        kept = await at.one()
        at.upstream.script = saying(OK + JSON + LENGTH + b"\r\n" + BODY)
        await client.post(CHAT_PATH, CHAT)
        _, headers = await client.head()
        assert BODY == await client.body(headers)
    assert (502, "upstream_protocol_error") == (status, error["code"])
    assert 2 == at.upstream.connections
    assert ("incomplete", "upstream_error") == (kept.row.state, kept.row.reason)
    assert b"upstream_protocol_error" in (kept.row.error or b"")


async def test_f40_an_endless_trailer_is_no_clean_end(tmp_path: Path) -> None:
    data = (OK + JSON + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(BODY)) + BODY
    script = saying(data + b"\r\n0\r\n" + b"x-t: %b\r\n" % (b"a" * 60_000) * 5)
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        raw, _ = await to_the_end(client)
        kept = await at.one()
    assert not raw.endswith(b"0\r\n\r\n")
    assert "incomplete" == kept.row.state


async def test_h21_bytes_behind_an_answer_reach_nobody(tmp_path: Path) -> None:
    more = OK + JSON + b"content-length: 6\r\n\r\nstolen"
    script = saying(OK + JSON + LENGTH + b"\r\n" + BODY + more)
    async with scene(tmp_path, script) as at, at.client() as client:
        for _ in range(3):
            await client.post(CHAT_PATH, CHAT)
            _, headers = await client.head()
            assert BODY == await client.body(headers)
        kept = await at.settled()
    assert 3 == at.upstream.connections
    assert [BODY] * 3 == [one.answer for one in kept]


async def test_h25_interim_answers_are_dropped(tmp_path: Path) -> None:
    interim = (
        b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"
    )
    script = saying(interim * 20 + OK + JSON + LENGTH + b"\r\n" + BODY)
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        status, headers = await client.head()
        assert BODY == await client.body(headers)
        await at.one()
    assert 200 == status
    assert "link" not in headers


@pytest.mark.parametrize("status", [204, 304])
async def test_h26_answers_without_a_body_have_none(
    tmp_path: Path, status: int
) -> None:
    head = b"HTTP/1.1 %d X\r\netag: a\r\ncontent-length: 9\r\n\r\n" % status
    script = saying(head + b"forbidden")
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.send(b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        seen, headers = await client.head()
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        _, after = await client.head()  # no byte stands between the two answers
        assert b"ok\n" == await client.body(after)
    assert status == seen
    assert "a" == headers["etag"]


async def test_h26_an_answer_to_head_keeps_its_length_and_has_no_body(
    tmp_path: Path,
) -> None:
    script = saying(OK + b"content-length: 9\r\n\r\n")
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.send(b"HEAD /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        _, headers = await client.head()
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        _, after = await client.head()
        assert b"ok\n" == await client.body(after)
    assert "9" == headers["content-length"]


async def test_h27_trailers_are_dropped_with_their_announcement(
    tmp_path: Path,
) -> None:
    head = OK + JSON + b"trailer: x-late\r\ntransfer-encoding: chunked\r\n\r\n"
    script = saying(head + b"%x\r\n%b\r\n0\r\nx-late: 1\r\n\r\n" % (len(BODY), BODY))
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        _, headers = await client.head()
        assert BODY == await client.body(headers)
        kept = await at.one()
    assert not {"x-late", "trailer"} & set(headers)
    assert BODY == kept.answer


@pytest.mark.parametrize("status", [401, 413, 429])
@pytest.mark.parametrize("path", [CHAT_PATH, "/v1/files"])
async def test_h28_f39_an_early_refusal_reaches_the_client_during_its_upload(
    tmp_path: Path, status: int, path: str
) -> None:
    refusal = b'{"error":{"message":"no","type":"x","param":null,"code":null}}'
    upload = CHAT[:-1] + b',"x":"' + b"y" * 30_000_000 + b'"}'

    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 %d No\r\n%bretry-after: 7\r\n" % (status, JSON)
        writer.write(head + b"content-length: %d\r\n\r\n" % len(refusal) + refusal)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    limits = {"url": url}
    async with (
        server,
        scene(tmp_path, saying(b""), upstreams={"default": limits}) as at,
        at.client() as client,
        asyncio.TaskGroup() as tasks,
    ):
        sending = tasks.create_task(client.post(path, upload))
        seen, headers = await client.head()
        assert refusal == await client.body(headers)
        sending.cancel()
        kept = await at.settled()
    assert (status, "7") == (seen, headers["retry-after"])
    assert ["complete"] * (path == CHAT_PATH) == [one.row.state for one in kept]


@pytest.mark.parametrize("status", [203, 299, 418, 499, 520, 599])
async def test_h29_any_status_is_relayed(tmp_path: Path, status: int) -> None:
    script = saying(b"HTTP/1.1 %d \r\n" % status + JSON + LENGTH + b"\r\n" + BODY)
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        seen, headers = await client.head()
        assert BODY == await client.body(headers)
        kept = await at.one()
    assert (status, status) == (seen, kept.row.status)


@pytest.mark.parametrize("option", [b"connection: close", b"keep-alive: timeout=1"])
async def test_h30_a_connection_that_the_upstream_gives_up_is_not_used_again(
    tmp_path: Path, option: bytes
) -> None:
    script = saying(OK + JSON + option + b"\r\n" + LENGTH + b"\r\n" + BODY)
    async with scene(tmp_path, script) as at, at.client() as client:
        for _ in range(2):
            await client.post(CHAT_PATH, CHAT)
            _, headers = await client.head()
            assert BODY == await client.body(headers)
            assert "keep-alive" not in headers
            assert "connection" not in headers  # the client's own one goes on
    assert 2 == at.upstream.connections


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_h86_a_redirect_is_relayed_and_not_followed(
    tmp_path: Path, status: int
) -> None:
    where = b"location: http://127.0.0.1:1/elsewhere\r\ncontent-length: 0\r\n\r\n"
    script = saying(b"HTTP/1.1 %d Go\r\n" % status + where)
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        seen, headers = await client.head()
        await at.one()
        asked = len(at.upstream.requests)
    assert (status, "http://127.0.0.1:1/elsewhere") == (seen, headers["location"])
    assert 1 == asked


async def test_f41_s31_the_same_id_time_and_model_again_and_again_are_all_kept(
    tmp_path: Path,
) -> None:
    answers = [completion(), completion(id=None), completion(created=0), b"{}", b""]

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answers[(len(at.upstream.requests) - 1) % len(answers)])

    async with scene(tmp_path, script) as at, at.client() as client:
        for body in answers * 3:
            await client.post(CHAT_PATH, CHAT)
            _, headers = await client.head()
            assert body == await client.body(headers)
        kept = await at.settled()
    assert answers * 3 == [one.answer for one in kept]
    assert 15 == len({one.row.id for one in kept})


@pytest.mark.parametrize("body", [CHAT, STREAMED], ids=["plain", "streamed"])
async def test_f42_a_storm_of_refusals_is_relayed_word_for_word_and_never_retried(
    tmp_path: Path, body: bytes
) -> None:
    statuses = [429, 500, 502, 503, 504, 529] * 5
    refusal = b'{"error" : {"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}\n'

    async def script(_: RawRequest, wire: Wire) -> None:
        status = statuses[len(at.upstream.requests) - 1]
        head = b"HTTP/1.1 %d Storm\r\n%bretry-after: 20\r\nx-ratelimit-reset-requests: 6m0s\r\n"
        length = b"content-length: %d\r\n\r\n" % len(refusal)
        await wire.send(head % (status, JSON) + length + refusal)

    async with scene(tmp_path, script) as at, at.client() as client:
        for status in statuses:
            await client.post(CHAT_PATH, body)
            seen, headers = await client.head()
            assert refusal == await client.body(headers)
            assert (status, "20") == (seen, headers["retry-after"])
            assert "6m0s" == headers["x-ratelimit-reset-requests"]
            assert "x-spiritsafe-error" not in headers
        kept = await at.settled()
        asked = len(at.upstream.requests)
    assert len(statuses) == asked
    assert statuses == [one.row.status for one in kept]
    assert {"complete"} == {one.row.state for one in kept}
