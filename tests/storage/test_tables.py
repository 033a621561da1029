"""The tables: migrations make what the metadata declares, in a file of ours only."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from storage.assemble import Row
from storage.engines.migrate import APPLICATION_ID, migrate, migrations, version
from storage.errors import DatabaseTooNew, NotOurDatabase
from storage.tables import exchanges, metadata


def fresh(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_migrations_make_the_declared_tables(tmp_path: Path) -> None:
    connection = fresh(tmp_path / "a.db")
    assert migrate(connection) == migrations()[-1][0]
    assert migrate(connection) == version(connection)
    engine = create_engine(f"sqlite:///{tmp_path / 'b.db'}")
    metadata.create_all(engine)
    declared = fresh(tmp_path / "b.db")
    names = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1"
    found = connection.execute(names).fetchall()
    assert found == declared.execute(names).fetchall()
    for (name,) in found:
        for pragma in ("table_xinfo", "index_list", "index_xinfo"):
            query = f"PRAGMA {pragma}('{name}')"
            made, wanted = (
                sorted(row[1:] for row in one.execute(query))
                for one in (connection, declared)
            )
            assert made == wanted, (name, pragma)
    sql = "SELECT replace(replace(sql, char(10), ''), '  ', ' ') FROM sqlite_master"
    where = " WHERE sql LIKE '% WHERE %' OR sql LIKE '%ROWID%' ORDER BY 1"
    made_sql = {" ".join(s.split()) for (s,) in connection.execute(sql + where)}
    wanted_sql = {" ".join(s.split()) for (s,) in declared.execute(sql + where)}
    assert {s.replace("( ", "(") for s in made_sql} == {
        s.replace("( ", "(") for s in wanted_sql
    }
    engine.dispose()
    connection.close()
    declared.close()


def test_a_list_row_has_the_columns_of_the_table() -> None:
    names = [column.name for column in exchanges.c if column.name != "answer_keys"]
    assert [
        name.replace("tags_json", "tags") for name in Row.__struct_fields__
    ] == names


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    connection = fresh(tmp_path / "a.db")
    migrate(connection)
    connection.execute(f"PRAGMA user_version = {migrations()[-1][0] + 1}")
    with pytest.raises(DatabaseTooNew, match="use the newer program"):
        migrate(connection)
    connection.close()


def test_the_file_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = fresh(tmp_path / "a.db")
    connection.execute("CREATE TABLE other (a)")
    with pytest.raises(NotOurDatabase, match="another program"):
        migrate(connection)
    connection.close()
    (tmp_path / "text").write_bytes(b"no database at all, " * 500)
    connection = fresh(tmp_path / "text")
    with pytest.raises(NotOurDatabase, match="no SQLite"):
        migrate(connection)
    connection.close()


def test_f22_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = fresh(tmp_path / "a.db")
    latest = migrations()[-1][0]
    twice = (latest + 1, "CREATE TABLE extra (a); CREATE TABLE extra (a);")
    broken = [*migrations(), twice]
    monkeypatch.setattr("storage.engines.migrate.migrations", lambda: broken)
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection)
    assert version(connection) == latest
    names = connection.execute("SELECT name FROM sqlite_master WHERE name = 'extra'")
    assert names.fetchall() == []
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()
