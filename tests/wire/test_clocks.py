"""The clock of the wall jumps; order, durations and ids do not (F-70)."""

from collections.abc import Iterator
from itertools import count, cycle
from pathlib import Path
from uuid import RFC_4122, UUID

import pytest

from proxy.passage import Clock
from storage.ids import Ids
from storage.queries.pages import page
from storage.reading import open_library
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

pytestmark = pytest.mark.anyio

NOW_US = 1_760_000_000_000_000
HOUR_US = 3600 * 1_000_000
YEARS_US = 10 * 365 * 24 * HOUR_US

JUMPS = {
    "frozen": cycle([NOW_US]),
    "back an hour, and again": count(NOW_US, -HOUR_US),
    "ahead an hour, and again": count(NOW_US, HOUR_US),
    "ten years to and fro": cycle([NOW_US, NOW_US - YEARS_US, NOW_US + YEARS_US]),
    "at its beginning": cycle([0]),
}


async def script(request: RawRequest, wire: Wire) -> None:
    if b"stream" in request.body:
        await wire.events(delta("one"), delta("two", "stop"), DONE)
    else:
        await wire.answer(completion())


@pytest.mark.parametrize("jump", JUMPS)
async def test_f70_durations_and_order_survive_any_clock(
    tmp_path: Path, jump: str
) -> None:
    """Nothing ends before it began, rows keep the order in which they ended."""
    times: Iterator[int] = JUMPS[jump]
    clock = Clock(wall_us=lambda: next(times))
    db = tmp_path / "s.db"
    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url, clock=clock) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        ids = []
        for body in (CHAT, STREAMED) * 4:
            await client.post("/v1/chat/completions", body)
            _, headers = await client.head()
            await client.body(headers)
            ids.append(headers["x-spiritsafe-id"])
    with open_library(db) as library:
        rows = page(library, None).rows
        assert ids == [row.id for row in reversed(rows)]
        for row in rows:
            assert row.ended_at is not None
            first = row.created_at if row.first_token_at is None else row.first_token_at
            assert row.created_at <= first <= row.ended_at < row.created_at + HOUR_US
    assert ids == sorted(ids)


@pytest.mark.parametrize("jump", JUMPS)
def test_f70_ids_only_grow(jump: str) -> None:
    times: Iterator[int] = JUMPS[jump]
    new_id = Ids(lambda: next(times) * 1000)
    ids = [new_id() for _ in range(2000)]
    assert ids == sorted(set(ids))
    assert {35} == {len(name) for name in ids}
    read = [UUID(name.removeprefix("ex_")) for name in ids]
    assert {(7, RFC_4122)} == {(one.version, one.variant) for one in read}
