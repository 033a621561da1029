"""What is slow, damaged or locked is told, and holds up nothing else."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from proxy.api import desk, looking
from storage.queries.counts import Counts
from storage.queries.pages import Page
from storage.reading import Library
from tests.proxy.api.served import ask, refusal, served

pytestmark = pytest.mark.anyio
LIST = "/api/exchanges"
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n"
)


async def test_counts_hold_up_no_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def slow(*_: object, **__: object) -> Counts:
        goes_on.wait(30)
        return Counts({}, 0, 0, complete=True)

    monkeypatch.setattr(looking, "count", slow)
    async with served(tmp_path) as to, asyncio.TaskGroup() as tasks:
        counting = [tasks.create_task(to.alice.get(f"{LIST}/facets")) for _ in range(4)]
        name = await ask(to.alice, "beside them")
        answer = await to.alice.get(LIST)
        assert [name] == [row["id"] for row in answer.json()["data"]]
        assert not any(one.done() for one in counting)
        goes_on.set()


async def test_what_takes_too_long_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(library: Library, *_: object, **__: object) -> Page:
        library.connection.execute(ENDLESS).fetchone()
        raise AssertionError

    async with served(tmp_path) as to:
        with monkeypatch.context() as patch:
            patch.setattr(looking, "page", endless)
            patch.setattr(desk, "READ_TIMEOUT_S", 0.02)
            answer = await to.alice.get(LIST)
        assert (503, "read_too_long", None) == refusal(answer)
        assert "1" == answer.headers["retry-after"]
        assert 200 == (await to.alice.get(LIST)).status_code


async def test_what_is_damaged_is_told_without_its_content(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "words of hers")
        with closing(sqlite3.connect(to.proxy.db, isolation_level=None)) as file:
            file.execute("UPDATE payloads SET skeleton = 999")
        for below in ("", "/request"):
            answer = await to.alice.get(f"{LIST}/{name}{below}")
            assert (500, "damaged", None) == refusal(answer)
            assert "words" not in answer.text
        assert 200 == (await to.alice.get(LIST)).status_code


async def test_a_change_that_storage_does_not_take_changes_nothing(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "stays")
        with closing(sqlite3.connect(to.proxy.db, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")  # a foreign writer: SQLITE_BUSY
            for answer in (
                await to.alice.delete(f"{LIST}/{name}"),
                await to.alice.post(f"{LIST}/{name}/tags", json={"add": {"a": "b"}}),
            ):
                assert (503, "storage_failed", None) == refusal(answer)
                assert str(tmp_path) not in answer.text
        told = (await to.alice.get(f"{LIST}/{name}")).json()
        assert {} == told["tags"]
