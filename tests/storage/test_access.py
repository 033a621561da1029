"""Callers: who has been seen, and which of them may read what another recorded."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.access import Caller, assign, callers, matching, projects_of
from storage.engines.migrate import APPLICATION_ID, migrate, migrations
from storage.engines.sqlite import open_reader, transaction
from storage.recorder import Recorder
from tests.storage.make import NOW_AT, clock, exchange

ALICE, BOB, CAROL = "a1" * 32, "b2" * 32, "c3" * 32


async def record(db: Path, *projects: str) -> None:
    """Record one exchange for each of these."""
    async with Recorder.open(db, clock=clock) as recorder:
        for number, project in enumerate(projects):
            one = exchange(project=project, created_at=NOW_AT + number)
            recorder.accept(one.id)
            await recorder.keep(one)


@pytest.mark.anyio
async def test_a_caller_is_known_from_its_first_exchange(tmp_path: Path) -> None:
    await record(tmp_path / "s.db", ALICE, BOB, ALICE)
    await record(tmp_path / "s.db", BOB, CAROL)  # another run meets them anew
    with closing(open_reader(tmp_path / "s.db")) as reader:
        assert [
            Caller(ALICE, ALICE, NOW_AT),
            Caller(BOB, BOB, NOW_AT + 1),
            Caller(CAROL, CAROL, NOW_AT + 1),
        ] == callers(reader)


@pytest.mark.anyio
async def test_an_assigned_caller_keeps_its_project(tmp_path: Path) -> None:
    await record(tmp_path / "s.db", ALICE, BOB)
    with (
        closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as writer,
        transaction(writer),
    ):
        assign(writer, [ALICE, CAROL], "team", now_at=NOW_AT + 7)
    await record(tmp_path / "s.db", ALICE, BOB, CAROL)
    with closing(open_reader(tmp_path / "s.db")) as reader:
        assert [
            Caller(ALICE, "team", NOW_AT),
            Caller(BOB, BOB, NOW_AT + 1),
            Caller(CAROL, "team", NOW_AT + 7),
        ] == callers(reader)
        assert {ALICE, CAROL} == projects_of(reader, ALICE)
        assert {ALICE, CAROL} == projects_of(reader, CAROL)
        assert {BOB} == projects_of(reader, BOB)


@pytest.fixture
def file(tmp_path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    migrate(connection)
    return connection


def test_who_was_never_seen_reads_its_own_and_nothing_else(
    file: sqlite3.Connection,
) -> None:
    assert {CAROL} == projects_of(file, CAROL)
    file.close()


def test_a_key_that_is_rotated_joins_the_project_of_the_old_one(
    file: sqlite3.Connection,
) -> None:
    assign(file, [ALICE], ALICE, now_at=1)
    assign(file, [BOB], ALICE, now_at=2)
    assert {ALICE, BOB} == projects_of(file, ALICE) == projects_of(file, BOB)
    assign(file, [BOB], BOB, now_at=3)
    assert {ALICE} == projects_of(file, ALICE)
    assert {BOB} == projects_of(file, BOB)
    file.close()


def test_a_project_named_as_a_key_that_left_it_is_not_that_keys(
    file: sqlite3.Connection,
) -> None:
    assign(file, [ALICE], "team", now_at=1)
    assign(file, [BOB], ALICE, now_at=2)
    assert {ALICE} == projects_of(file, ALICE)
    assert {BOB} == projects_of(file, BOB)
    file.close()


def test_callers_are_found_by_the_start_of_a_fingerprint(
    file: sqlite3.Connection,
) -> None:
    assign(file, [ALICE, BOB, "a1ff"], "team", now_at=1)
    assert [ALICE, "a1ff"] == matching(file, "a1", limit=5)
    assert [ALICE] == matching(file, "a1", limit=1)
    assert [] == matching(file, "a1%", limit=5)
    file.close()


def test_callers_of_an_older_file_are_found_in_its_rows(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    connection.executescript(migrations()[0][1])
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    row = dict.fromkeys(
        name
        for _, name, _, needed, *_ in connection.execute("PRAGMA table_info(exchanges)")
        if needed
    )
    for seq, project in enumerate((BOB, ALICE, BOB), 1):
        names = ", ".join(row)
        values = {**dict.fromkeys(row, 0), "seq": seq, "id": f"ex_{seq}"}
        values |= {"project": project, "created_at": seq * 10}
        places = ", ".join("?" for _ in row)
        connection.execute(
            f"INSERT INTO exchanges ({names}) VALUES ({places})",
            [values[name] for name in row],
        )
    migrate(connection)
    assert [Caller(BOB, BOB, 10), Caller(ALICE, ALICE, 20)] == callers(connection)
    connection.close()
