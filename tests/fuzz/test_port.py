"""Changed requests at the live port: none makes it forward what a strict reader misses.

A differential test (H-14): whatever the upstream gets has to be among the requests that
the reference reads in the same bytes, with the same method, target and body.
"""

import asyncio
import contextlib
import random
import re
from pathlib import Path

import pytest

from storage.reading import open_library
from storage.verify import Finding, verify
from tests.crash.load import LOST
from tests.fuzz import mutate, reference
from tests.fuzz.budget import examples, seed
from tests.scripted_upstream import RawRequest, Wire, completion
from tests.wire.scene import PATIENCE_S, Scene, scene

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(0)]

BATCH = 500
"""Examples before one proxy and its file."""

ENOUGH = 20
"""Findings after which there is enough to look at."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def answered(at: Scene, data: bytes) -> bytes:
    """Send bytes and the end of sending; return all that comes back."""
    async with at.client() as client, asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(*LOST):
            await client.send(data)
            client.half_close()
        return await client.rest()


def same(got: RawRequest, read: reference.Read) -> bool:
    """Return whether the upstream got what the reference read."""
    method, target, _ = got.head.split(b"\r\n")[0].split(b" ")
    return (method, target, got.body) == read


def wrong(new: list[RawRequest], read: list[reference.Read], said: bytes) -> list[str]:
    """Return what is wrong with what one example brought about."""
    found = [why for got in new if (why := reference.well_formed(got.head))]
    rest = list(read)
    for got in new:
        match = next((one for one in rest if same(got, one)), None)
        if match is None:
            found.append(f"the upstream got {got.head!r} with {got.body!r}")
        else:
            rest = rest[rest.index(match) + 1 :]
    if said and not STATUS.match(said):
        found.append(f"no answer: {said[:80]!r}")
    if b"HTTP/1.1 500 " in said:
        found.append("an answer of 500")
    return found


async def test_h13_h14_f55_changed_requests_never_smuggle_another(
    tmp_path: Path,
) -> None:
    """The proxy answers or closes, forwards what it may, and keeps honest accounts."""
    start, total = seed(), examples(400)
    found: list[str] = []
    for first in range(0, total, BATCH):
        folder = tmp_path / f"{first}"
        folder.mkdir()
        numbers = range(first, min(first + BATCH, total))
        found += await batch(folder, start, numbers)
        if len(found) > ENOUGH:
            break
    assert [] == found


async def batch(folder: Path, start: int, numbers: range) -> list[str]:
    """Try some examples before one proxy, and check its file afterwards."""
    found: list[str] = []
    before: list[reference.Read] = []  # its client refused meanwhile, one may come late
    async with scene(
        folder, plain, limits={"inject": "off"}, body_timeout_s=1.0, patience_s=3600
    ) as at:
        for number in numbers:
            data = mutate.mutated(random.Random(f"{start}/{number}"))
            seen = len(at.upstream.requests)
            said = await answered(at, data)
            new, read = at.upstream.requests[seen:], reference.requests(data)
            if why := wrong(new, [*before, *read], said):
                found.append(f"example {number} {data!r}: {why}")
            before = read
        kept = await at.settled()
        bodies = [got.body for got in at.upstream.requests]
        found += [f"kept {one.request!r}" for one in kept if one.request not in bodies]
    with open_library(folder / "s.db") as library:
        found += [str(one) for one in verify(library) if isinstance(one, Finding)]
    return found
