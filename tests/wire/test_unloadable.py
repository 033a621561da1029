"""What becomes of answers where the library that judges cannot be loaded."""

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.reading import open_library
from tests.crash.running import ROOT, Running, serving
from tests.living import RawClient
from tests.scripted_upstream import scripted_upstream
from tests.wire.judging import ALL, FORMAT, RIGHT, asking, registered, saying

pytestmark = pytest.mark.anyio

BODY = asking(response_format=FORMAT)
NOT_LOADED = "what judges does not load"


def broken(folder: Path) -> dict[str, str]:
    """Return the environment in which the library is there and is of no use."""
    folder.mkdir()
    (folder / "jsonschema_rs.py").write_text("raise ImportError('a broken wheel')\n")
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


async def asked(client: RawClient) -> tuple[int, str, str]:
    """Ask for what is judged; return status, verdict, and whether it is recorded."""
    await client.post("/v1/chat/completions", BODY)
    status, told = await client.head()
    await client.body(told)
    return status, told["x-spiritsafe-verdict"], told["x-spiritsafe-recorded"]


async def said(running: Running) -> str:
    """Stop a server; return what it logged."""
    running.process.terminate()
    return (await running.ended())[1]


def reasons(db: Path) -> list[str]:
    """Return why answers were not judged, of all that is recorded."""
    with open_library(db) as library:
        kept = [library.whole(row) for row in library.rows()]
    return [judged.reason for one in kept for judged in one.judgements]


@contextlib.contextmanager
def no_more_files(pid: int) -> Iterator[None]:
    """Leave a process the descriptors that it has, and no further one."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


async def test_an_answer_passes_and_is_kept_where_the_library_is_broken(
    tmp_path: Path,
) -> None:
    db, variables = tmp_path / "s.db", broken(tmp_path / "broken")
    async with (
        scripted_upstream(saying(RIGHT)) as upstream,
        serving(db, upstream.url, variables=variables) as running,
        RawClient.connect(running.port) as client,
    ):
        for _ in range(2):
            assert (200, "unchecked", "yes") == await asked(client)
        logged = await said(running)
    assert 1 == logged.count("an answer could not be judged; told once")
    assert NOT_LOADED not in logged
    assert ["failed", "failed"] == reasons(db)


@pytest.mark.parametrize("by", ["binding", "setting"])
async def test_who_registered_schemas_is_told_at_start(tmp_path: Path, by: str) -> None:
    db, variables = tmp_path / "s.db", broken(tmp_path / "broken")
    if by == "binding":
        await registered(db, ALL, policy="enforce")
    else:
        (tmp_path / "schemas").mkdir()
        (tmp_path / "schemas" / "one.json").write_text("{}")
        variables["SPIRITSAFE_SCHEMAS"] = str(tmp_path / "schemas")
    async with serving(db, "http://127.0.0.1:9", variables=variables) as running:
        logged = await said(running)
    assert 1 == logged.count(NOT_LOADED)
    assert ("one.json is not registered" in logged) == (by == "setting")


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
async def test_without_a_descriptor_left_an_answer_passes_and_later_is_judged(
    tmp_path: Path,
) -> None:
    db = tmp_path / "s.db"
    async with (
        scripted_upstream(saying(RIGHT)) as upstream,
        serving(db, upstream.url) as running,
        RawClient.connect(running.port) as client,
    ):
        await client.post("/v1/chat/completions", asking())  # all connections stand
        await client.body((await client.head())[1])
        with no_more_files(running.process.pid):
            assert (200, "unchecked", "yes") == await asked(client)
        assert (200, "valid", "yes") == await asked(client)
        await running.kill()
    assert ["failed"] == [reason for reason in reasons(db) if reason]
