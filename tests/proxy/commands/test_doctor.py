"""`doctor`: grades what recording relies on; only what is bad fails."""

import json
import sqlite3
from pathlib import Path

import pytest

from proxy.commands.doctor import Finding, examine
from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import empty, out


def graded(db: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(db)}


def test_a_table_and_a_document_say_the_same(file: Recorded) -> None:
    document = json.loads(out("doctor", "--json", "--db", file.db))
    assert document["sound"] is True
    text = out("doctor", "--db", file.db)
    for finding in document["findings"]:
        assert finding["what"] in text
    assert "6 complete, 1 incomplete, 0 unrecorded, 0 in flight" in text


def test_a_file_to_come_is_fine_and_is_not_made(tmp_path: Path) -> None:
    db = tmp_path / "none.db"
    out("doctor", "--db", db)
    assert not db.exists()


def test_a_missing_folder_is_bad(tmp_path: Path) -> None:
    db = tmp_path / "none" / "s.db"
    document = json.loads(out("doctor", "--json", "--db", db, code=1))
    assert document["sound"] is False
    assert "bad" == document["findings"][-1]["grade"]
    assert "create it first" in out("doctor", "--db", db, code=1)


def test_a_file_of_another_program_is_bad(tmp_path: Path) -> None:
    db = tmp_path / "other.db"
    connection = sqlite3.connect(db)
    connection.execute("CREATE TABLE a (b)")
    connection.close()
    assert "belongs to another program" in out("doctor", "--db", db, code=1)


def test_a_file_that_others_can_read_is_worth_a_warning(tmp_path: Path) -> None:
    db = empty(tmp_path / "s.db")
    assert "good" == graded(db)["file"].grade
    db.chmod(0o644)
    assert ("warn", True) == (
        graded(db)["file"].grade,
        "644" in graded(db)["file"].says,
    )


def test_a_folder_that_takes_no_file_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)  # root may write anywhere
    assert "bad" == graded(tmp_path / "s.db")["flush"].grade


def test_what_is_not_accounted_for_is_bad(tmp_path: Path) -> None:
    db = empty(tmp_path / "s.db")
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute("UPDATE epochs SET accepted = 3")
    connection.close()
    assert "of 3 accepted" in out("doctor", "--db", db, code=1)
