"""How much of a request head is read (H-41)."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.front.connection import MAX_FIELDS, MAX_HEAD_BYTES, MAX_TARGET_BYTES
from tests.scripted_upstream import RawRequest, Wire, completion
from tests.wire.scene import scene

pytestmark = pytest.mark.anyio

LEAD = b"GET /healthz HTTP/1.1\r\nhost: a\r\n"


def head_of(size: int) -> bytes:
    """Return a request head of this many bytes."""
    lead, end = LEAD + b"x-long: ", b"\r\n\r\n"
    return lead + b"x" * (size - len(lead) - len(end)) + end


def target_of(size: int) -> bytes:
    """Return a request with a target of this many bytes."""
    target = b"/healthz?" + b"x" * (size - 9)
    return b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % target


def fields_of(count: int) -> bytes:
    """Return a request with this many headers."""
    return LEAD + b"x-one: 1\r\n" * (count - 1) + b"\r\n"


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


@pytest.mark.parametrize("step", [997, 2**20])
@pytest.mark.parametrize(
    ("make", "limit", "refused"),
    [
        (head_of, MAX_HEAD_BYTES, 431),
        (fields_of, MAX_FIELDS, 431),
        (target_of, MAX_TARGET_BYTES, 414),
    ],
)
async def test_h41_a_head_at_its_limit_passes_and_one_beyond_is_refused(
    tmp_path: Path, make: Callable[[int], bytes], limit: int, refused: int, step: int
) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        for size, expected in ((limit, 200), (limit, 200), (limit + 1, refused)):
            data = make(size)
            for start in range(0, len(data), step):
                await client.send(data[start : start + step])
            status, headers = await client.head()
            body = await client.body(headers)
            assert expected == status
        assert headers["x-spiritsafe-error"] == json.loads(body)["error"]["code"]
        assert b"" == await client.rest()


async def test_h41_a_header_without_end_is_cut_off(tmp_path: Path) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        with contextlib.suppress(ConnectionError):
            await client.send(LEAD + b"x-long: ")
            while not client.reader.at_eof():
                await client.send(b"x" * 4096)
        assert not at.upstream.requests


async def test_h41_a_body_does_not_count(tmp_path: Path) -> None:
    async with scene(tmp_path, plain) as at, at.client() as client:
        for _ in range(2):
            await client.post("/v1/files", b"x" * 4 * MAX_HEAD_BYTES)
            assert 200 == (head := await client.head())[0]
            assert completion() == await client.body(head[1])
