"""`demo`: seven calls through the real proxy, and nothing of the user's own set-up."""

import re
from pathlib import Path

from tests.proxy.commands.recording import lines, out, spiritsafe


def test_it_records_seven_scripted_calls(tmp_path: Path) -> None:
    db = tmp_path / "demo.db"
    text = out("demo", "--db", db)
    assert "scripted" in text.splitlines()[0]
    rows = lines("list", "--db", db)
    assert 7 == len(rows)
    assert {"complete"} == {row["state"] for row in rows}
    assert f"spiritsafe show {rows[0]['id']} --db {db}" in text
    assert all(row["id"][:19] in text for row in rows)
    assert "sound: 7" in out("verify", "--db", db)


def test_without_a_file_it_leaves_one_behind(tmp_path: Path) -> None:
    done = spiritsafe("demo", folder=tmp_path, TMPDIR=str(tmp_path))
    assert 0 == done.returncode, done.stderr
    (db,) = re.findall(r"The file stays at (.*)\. Try", done.stdout.decode())
    assert Path(db).is_relative_to(tmp_path)
    assert not (tmp_path / "spiritsafe.db").exists()
    out("verify", "--db", db)


def test_no_setting_of_the_user_can_send_it_elsewhere(tmp_path: Path) -> None:
    """A settings file could name a real provider at /v1."""
    (tmp_path / "spiritsafe.toml").write_text(
        '[upstreams.default]\nurl = "http://127.0.0.1:9/v1"\n'
    )
    db = tmp_path / "demo.db"
    done = spiritsafe("demo", "--db", db, folder=tmp_path, SPIRITSAFE_TAGS="who=me")
    assert 0 == done.returncode, done.stderr
    rows = lines("list", "--db", db)
    assert all("who" not in row["tags"] for row in rows)


def test_a_file_that_cannot_be_had_is_code_3(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = spiritsafe("demo", "--db", tmp_path / "file" / "demo.db")
    assert 3 == done.returncode
    assert b"Traceback" not in done.stderr
    assert b"cannot record to" in done.stderr
