"""A file of an older version, filled, is brought up to date and reads as before."""

import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from storage.engines.migrate import APPLICATION_ID, migrations, version
from storage.reading import open_library
from storage.reasks import link_of
from storage.recorder import Recorder
from storage.records import Exchange
from tests.storage.make import chat, clock, exchange
from tests.storage.test_reasks import ERROR, attempt

pytestmark = pytest.mark.anyio

OLD = 5
"""The last version before schemas."""


async def record(path: Path, *made: Exchange) -> None:
    async with Recorder.open(path, clock=clock) as recorder:
        for one in made:
            recorder.accept(one.id)
            await recorder.keep(one)


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]


def older(path: Path, new: Path, made: list[Exchange]) -> None:
    """Make a file as version 5 had written it, of the rows of a newer one."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number, script in migrations():
            if number <= OLD:
                connection.executescript(script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {OLD}")
        connection.execute("ATTACH ? AS new", (str(new),))
        tables = "SELECT name FROM main.sqlite_master WHERE type = 'table'"
        for (table,) in connection.execute(tables).fetchall():
            if table == "tags":  # what later versions have no more
                continue
            names = ", ".join(columns(connection, table))
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(
                f"INSERT INTO main.{table} ({names}) SELECT {names} FROM new.{table}"
            )
        connection.executemany(
            "INSERT INTO main.tags SELECT ?, ?, seq FROM main.exchanges WHERE id = ?",
            [(key, tag, one.id) for one in made for key, tag in one.tags.items()],
        )


async def test_a_filled_file_of_version_5_reads_as_before(tmp_path: Path) -> None:
    asked = (("user", "q"), ("assistant", "{}"), ("user", "and then?"))
    first = exchange(chat(("user", "q")), text="{}", tags={"task": "a"})
    named = orjson.dumps({"input": "q", "model": "m"})
    made = [
        first,
        exchange(chat(*asked), text="x" * 5000),
        exchange(named, endpoint="responses", completion_id="resp_1"),
        exchange(content_kept=False, request=b"", answer=b"", chunks=()),
    ]
    new, path = tmp_path / "new.db", tmp_path / "old.db"
    await record(new, *made)
    older(path, new, made)
    with open_library(new) as library:
        before = [library.whole(row) for row in library.rows()]
    again = attempt(("user", "q"), answer="[]")
    right = attempt(
        ("user", "q"), ("assistant", "[]"), ("user", ERROR), answer="1", verdict="valid"
    )
    on = exchange(
        orjson.dumps({"input": "on", "previous_response_id": "resp_1"}),
        endpoint="responses",
        previous_response_id="resp_1",
    )
    await record(path, again, right, on)
    with closing(sqlite3.connect(path)) as connection:
        assert migrations()[-1][0] == version(connection)
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
    with open_library(path) as library:
        rows = [*library.rows()]
        assert before == [library.whole(row) for row in rows[: len(made)]]
        assert [{"task": "a"}] == [row.tags for row in rows if row.id == first.id]
        judged = library.one(again.id)
        assert ["invalid"] == [one.verdict for one in judged.judgements]
        link = link_of(library.connection, library.row(right.id).seq)
        assert link is not None
        assert library.row(again.id).seq == link.root
        assert made[2].id == library.one(on.id).parent_id
