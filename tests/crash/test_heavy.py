"""Large bodies at once in little memory: served or told to come again (H-64, F-61)."""

import signal
from pathlib import Path

import pytest

from storage.reading import open_library
from storage.verify import Finding, verify
from tests.crash.heavy import MIB, noise, sink, storm, within
from tests.crash.running import metrics, serving, sums_of

pytestmark = pytest.mark.anyio

LIMIT_BYTES = 256 * MIB
SIZE_BYTES = 16_000_000
CLEAR = {"200", "503 proxy_memory_full retry"}


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_h64_f61_s51_large_bodies_at_once_are_served_or_told_to_come_again(
    tmp_path: Path, *, declared: bool
) -> None:
    """Nearly 400 MB of them within 256 MiB, enforced by the kernel; small ones go on."""
    db = tmp_path / "s.db"
    async with (
        sink() as upstream,
        serving(
            db,
            upstream.url,
            command=within(LIMIT_BYTES),
            variables={"SPIRITSAFE_ROOM_TIMEOUT_S": "1"},
        ) as running,
    ):
        told = await storm(running, 24, SIZE_BYTES, noise(MIB), declared=declared)
        assert set(told.ends) <= CLEAR, told
        assert told.ends["200"]
        assert told.others
        assert told.peak_bytes < LIMIT_BYTES
        sums = sums_of(await metrics(running.port))
        running.tell(signal.SIGTERM)
        assert (0, "") == await running.ended()
    assert 0 == sums.unrecorded
    assert told.others + told.ends["200"] == sums.complete
    with open_library(db) as library:
        assert [] == [step for step in verify(library) if isinstance(step, Finding)]
        sizes = [row.request_size for row in library.rows()]
    assert told.ends["200"] == sizes.count(SIZE_BYTES)


async def test_h64_the_memory_of_a_large_body_is_bounded_and_given_back(
    tmp_path: Path,
) -> None:
    """Twelve bodies, one after the other, take what the largest of them does."""
    async with (
        sink() as upstream,
        serving(tmp_path / "s.db", upstream.url) as running,
    ):
        for _ in range(12):
            told = await storm(running, 1, 20_000_000, noise(MIB))
            assert {"200"} == set(told.ends)
        # 76 MiB when it is idle, and what an indexer reads of the file meanwhile.
        assert told.peak_bytes < 90 * MIB + 4.5 * 20_000_000
