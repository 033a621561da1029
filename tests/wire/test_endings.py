"""After a broken upstream no client sees a clean end (H-22 to H-24, F-33, F-34)."""

import json
from pathlib import Path

import pytest

from tests.scripted_upstream import (
    CHAT,
    DONE,
    SSE_HEAD,
    STREAMED,
    RawRequest,
    Script,
    Wire,
    completion,
    delta,
)
from tests.wire.scene import CHAT_PATH, chunk, dechunked, scene, to_the_end

pytestmark = pytest.mark.anyio

JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
LENGTH_HEAD = JSON_HEAD + b"content-length: 1000\r\n\r\n"
CHUNKED_HEAD = JSON_HEAD + b"transfer-encoding: chunked\r\n\r\n"
CLOSE_SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
EUROS = delta("€€").replace(rb"\u20ac", "€".encode())

BROKEN_BODIES = {
    "short_of_length": LENGTH_HEAD + b'{"a":"' + b"x" * 500,
    "chunked_between_chunks": CHUNKED_HEAD + chunk(b'{"a":"') + chunk(b"x" * 500),
    "chunked_mid_chunk": CHUNKED_HEAD + b'1f4\r\n{"a":"' + b"x" * 100,
    "chunked_mid_size": CHUNKED_HEAD + chunk(b'{"a":"xx') + b"1f",
    "chunked_no_last_line": CHUNKED_HEAD + chunk(completion()) + b"0\r\n",
}

BROKEN_STREAMS = {
    "between_events": SSE_HEAD + chunk(delta("one")),
    "mid_chunk": SSE_HEAD + b"ffff\r\n" + delta("one"),
    "mid_event": SSE_HEAD + chunk(delta("one")[:-1]),
    "mid_line": SSE_HEAD + chunk(delta("one") + b'data: {"id":"ch'),
    "mid_utf8": SSE_HEAD + chunk(EUROS[: EUROS.index("€".encode()) + 1]),
    "no_done_by_close": CLOSE_SSE_HEAD + delta("one"),
}


def breaking(data: bytes, how: str) -> Script:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(data)
        if how == "reset":
            wire.reset()
        else:
            wire.close()

    return script


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("data", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_h22_a_broken_body_has_no_clean_end(
    tmp_path: Path, data: bytes, how: str
) -> None:
    async with scene(tmp_path, breaking(data, how)) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        raw, _ = await to_the_end(client)
        kept = await at.one()
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"chunked" in head:
        assert not dechunked(body)[1]
    elif head:
        assert b" 200 " not in head or len(body) < 1000
    assert ("incomplete", "upstream_truncated") == (kept.row.state, kept.row.reason)


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("data", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS)
async def test_h22_f34_a_broken_stream_ends_with_an_error_event_and_no_last_chunk(
    tmp_path: Path, data: bytes, how: str
) -> None:
    async with scene(tmp_path, breaking(data, how)) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        raw, _ = await to_the_end(client)
        kept = await at.one()
    body, ended = dechunked(raw)
    assert not ended
    assert DONE not in body
    assert body.startswith(kept.answer)  # what came, and ours behind it
    assert (
        data.endswith(kept.answer.removesuffix(b"\n") or b"\0") or kept.answer in data
    )
    assert kept.answer
    assert kept.answer in data
    between, found, ours = body.removeprefix(kept.answer).partition(b"data: ")
    assert (b"", b"data: ") == (between.strip(), found)
    assert (kept.answer + between).endswith(b"\n\n")
    error = json.loads(ours)["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert "upstream_truncated" == error["code"]
    assert ("incomplete", "upstream_truncated") == (kept.row.state, kept.row.reason)


async def test_h22_a_broken_responses_stream_ends_with_its_own_error_event(
    tmp_path: Path,
) -> None:
    event = (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n'
    )
    script = breaking(SSE_HEAD + chunk(event), "reset")
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post("/v1/responses", b'{"model":"m","stream":true,"input":"x"}')
        await client.head()
        body, ended = dechunked((await to_the_end(client))[0])
        kept = await at.one()
    name, data = body.removeprefix(event).removesuffix(b"\n\n").split(b"\n")
    assert not ended
    assert b"event: error" == name
    told = json.loads(data.removeprefix(b"data: "))
    assert "error" == told["type"]
    assert "upstream_truncated" == told["code"]
    assert event == kept.answer
    assert "upstream_truncated" == kept.row.reason


@pytest.mark.parametrize("size", [0, 9, 400, 10**6])
async def test_h24_an_http_1_0_client_gets_a_reset(tmp_path: Path, size: int) -> None:
    data = CHUNKED_HEAD + chunk(b'{"a":"') + (chunk(b"x" * size) if size else b"")
    script = breaking(data, "fin")
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT, version="1.0")
        raw, how = await to_the_end(client)
        kept = await at.one()
    assert "reset" == how
    assert b"transfer-encoding" not in raw.lower()
    assert "upstream_truncated" == kept.row.reason


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_h24_an_http_1_0_client_of_a_stream_gets_a_reset(
    tmp_path: Path, how: str
) -> None:
    script = breaking(SSE_HEAD + chunk(delta("one")), how)
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED, version="1.0")
        _, ended = await to_the_end(client)
        await at.one()
    assert "reset" == ended


async def test_h24_an_http_1_0_client_gets_whole_answers_ended_by_the_close(
    tmp_path: Path,
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("one", "stop"), DONE)

    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED, version="1.0")
        _, headers = await client.head()
        body, how = await to_the_end(client)
        kept = await at.one()
    assert "transfer-encoding" not in headers
    assert ("fin", delta("one", "stop") + DONE) == (how, body)
    assert "complete" == kept.row.state


async def test_h23_a_body_that_only_the_close_ends_is_complete(tmp_path: Path) -> None:
    script = breaking(JSON_HEAD + b"\r\n" + completion(), "fin")
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        _, headers = await client.head()
        assert completion() == await client.body(headers)
        kept = await at.one()
    assert "complete" == kept.row.state
    assert "framing=close" in kept.flags


async def test_h23_a_reset_never_completes_a_body_that_the_close_ends(
    tmp_path: Path,
) -> None:
    script = breaking(JSON_HEAD + b"\r\n" + completion(), "reset")
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        raw, _ = await to_the_end(client)
        kept = await at.one()
    assert not raw.endswith(b"0\r\n\r\n")
    assert "upstream_truncated" == kept.row.reason


@pytest.mark.parametrize("head", [SSE_HEAD, CLOSE_SSE_HEAD], ids=["chunked", "close"])
@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_f33_a_break_after_the_terminal_event_is_a_complete_answer(
    tmp_path: Path, head: bytes, how: str
) -> None:
    events = delta("one", "stop") + DONE
    data = head + (chunk(events) if head is SSE_HEAD else events)
    async with scene(tmp_path, breaking(data, how)) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        _, headers = await client.head()
        assert events == await client.body(headers)
        kept = await at.one()
    assert "complete" == kept.row.state
    if how == "reset" or head is SSE_HEAD:
        assert "upstream_truncated" in kept.flags


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_f33_a_break_before_the_head_is_a_502_in_an_envelope(
    tmp_path: Path, how: str
) -> None:
    script = breaking(b"", how)
    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, CHAT)
        status, headers = await client.head()
        error = json.loads(await client.body(headers))["error"]
        kept = await at.one()
        asked = len(at.upstream.requests)
    assert (502, "upstream_gone") == (status, error["code"])
    assert "upstream_gone" == headers["x-spiritsafe-error"]
    assert "unknown" == headers["x-spiritsafe-upstream-contacted"]
    assert "retry-after" not in headers
    assert 1 == asked  # a POST that may have been worked on is not sent again (H-80)
    assert ("incomplete", "upstream_error") == (kept.row.state, kept.row.reason)
    assert "yes" == headers["x-spiritsafe-recorded"]
