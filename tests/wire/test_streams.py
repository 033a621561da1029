"""Event streams, byte for byte and as they come (H-70, H-71, F-36, vectors A1 to A9)."""

import asyncio
from pathlib import Path

import pytest

from proxy.answer import read_answer
from tests.proxy import vectors
from tests.proxy.answers import streamed as as_received
from tests.scripted_upstream import (
    DONE,
    SSE_HEAD,
    STREAMED,
    RawRequest,
    Script,
    Wire,
    delta,
)
from tests.wire.scene import (
    CHAT_PATH,
    chunk,
    data_until,
    scene,
)

pytestmark = pytest.mark.anyio

PATHS = {
    "chat": CHAT_PATH,
    "responses": "/v1/responses",
    "completions": "/v1/completions",
}

# What the stream says of itself; all others are complete.
STATES = {
    "a5_error": "upstream_error",
    "a5_error_then_done": "upstream_error",
    "a5_error_first": "upstream_error",
    "a8_10_error_event": "upstream_error",
    "a9_failed": "upstream_error",
    "a9_error": "upstream_error",
    "a9_items_only": "upstream_truncated",
}
PREVIEWS = {
    "a1_text": "Hi",
    "a4_azure": "ok",
    "a5_error": "par",
    "a5_error_then_done": "par",
    "a8_1_crlf": "Hi",
    "a8_1_cr": "Hi",
    "a8_6_characters": "€ 🥃 é🥃",
    "a8_8_bom": "ok",
    "a8_10_error_event": "par",
    "a9_completed": "Hi",
    "a9_items_only": "Hi",
    "legacy_text": "Once",
}


def streaming(data: bytes, *, size: int | None) -> Script:
    """Return a script that streams the data in one chunk, or in bytes on the wire."""

    async def script(_: RawRequest, wire: Wire) -> None:
        raw = SSE_HEAD + chunk(data) + b"0\r\n\r\n"
        await wire.send(*(vectors.slices(raw, size) if size else [raw]))

    return script


@pytest.mark.parametrize("size", [None, 1], ids=["at_once", "byte_by_byte"])
async def test_h71_f36_every_vector_passes_byte_for_byte_and_is_kept_as_it_came(
    tmp_path: Path, size: int | None
) -> None:
    names = list(vectors.VECTORS)

    async def script(request: RawRequest, wire: Wire) -> None:
        name = names[len(at.upstream.requests) - 1]
        await streaming(vectors.VECTORS[name], size=size)(request, wire)

    async with scene(tmp_path, script) as at, at.client() as client:
        for name, data in vectors.VECTORS.items():
            await client.post(PATHS[vectors.endpoint_of(name)], STREAMED)
            _, headers = await client.head()
            assert data == await client.body(headers), name
        kept = await at.settled()
    for (name, data), one in zip(vectors.VECTORS.items(), kept, strict=True):
        assert data == one.answer, name
        reason = STATES.get(name)
        state = "incomplete" if reason else "complete"
        assert (name, state, reason) == (name, one.row.state, one.row.reason)
        expected = read_answer(vectors.endpoint_of(name), as_received([data]))
        preview = PREVIEWS.get(name, expected.preview)
        assert (name, preview) == (name, one.row.answer_preview)
        assert expected.finish_reason == one.row.finish_reason, name


async def test_a5_an_error_as_the_first_event_is_relayed_as_it_came(
    tmp_path: Path,
) -> None:
    """P1 is above the advice of wire.md to turn it into a status."""
    data = vectors.VECTORS["a5_error_first"]
    async with scene(tmp_path, streaming(data, size=None)) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        status, headers = await client.head()
        assert data == await client.body(headers)
        kept = await at.one()
    assert (200, 200) == (status, kept.row.status)
    assert ("incomplete", "upstream_error") == (kept.row.state, kept.row.reason)
    assert b"backend failed" in (kept.row.error or b"")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
async def test_h70_each_event_arrives_while_the_upstream_waits(
    tmp_path: Path, end: bytes
) -> None:
    read = asyncio.Queue[None]()
    comment = b": ping\n\n"
    events = [delta(str(n)).removesuffix(b"\n\n") + end for n in range(20)]

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(SSE_HEAD)
        for event in [comment, *events]:
            await wire.send(chunk(event))
            await read.get()
        await wire.send(chunk(DONE) + b"0\r\n\r\n")

    async with scene(tmp_path, script) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        await client.head()
        for event in [comment, *events]:
            assert event == await data_until(client, event)
            read.put_nowait(None)
        assert DONE == await data_until(client, DONE)


@pytest.mark.parametrize("size", [1, 3, 64 * 1024])
async def test_h70_f36_an_event_of_a_mebibyte_passes_in_any_slices(
    tmp_path: Path, size: int
) -> None:
    letters = 1024 * 1024 if size > 3 else 8 * 1024
    data = delta("x" * letters) + delta("", "stop") + DONE
    async with scene(tmp_path, streaming(data, size=size)) as at, at.client() as client:
        await client.post(CHAT_PATH, STREAMED)
        _, headers = await client.head()
        assert data == await client.body(headers)
        kept = await at.one()
    assert (data, "complete") == (kept.answer, kept.row.state)
    assert len(kept.chunks) == sum(bool(one.size_bytes) for one in kept.chunks)
    assert len(data) == sum(one.size_bytes for one in kept.chunks)
