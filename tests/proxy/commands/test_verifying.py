"""`verify`: a sound file is proven, and each damage is a finding and exit code 1."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import REQUESTS, out, spiritsafe


def test_what_a_proxy_recorded_is_sound(file: Recorded) -> None:
    assert f"sound: {len(REQUESTS)} exchanges" in out("verify", "--db", file.db)
    assert {"exchanges": len(REQUESTS), "sound": True, "findings": []} == json.loads(
        out("verify", "--json", "--db", file.db)
    )


def test_one_exchange_is_proven_by_its_hashes(file: Recorded) -> None:
    text = out("verify", file.ids["plain"], "--db", file.db)
    document = json.loads(out("show", file.ids["plain"], "--json", "--db", file.db))
    for name in ("request_sha256", "sent_sha256", "answer_sha256"):
        assert document[name] in text
    assert "store, metadata set" in text
    assert "nothing to prove" in out("verify", file.ids["secret"], "--db", file.db)


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        ("request_sha256", "the request is not the one that was received"),
        ("sent_sha256", "what was sent is not the request with its declared edits"),
        ("answer_sha256", "the answer is not the one that was received"),
    ],
)
def test_a_wrong_byte_is_found(
    file: Recorded, tmp_path: Path, column: str, wrong: str
) -> None:
    db = tmp_path / "damaged.db"
    shutil.copy(file.db, db)
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute(
        f"UPDATE payloads SET {column} = x'00' WHERE seq = "
        "(SELECT seq FROM exchanges WHERE id = ?)",
        (file.ids["plain"],),
    )
    connection.close()
    finding = {"id": file.ids["plain"], "what": wrong}
    for command in (["verify"], ["verify", file.ids["plain"]]):
        document = json.loads(out(*command, "--json", "--db", db, code=1))
        assert (False, [finding]) == (document["sound"], document["findings"])
        assert f"{finding['id']}: {wrong}" in out(*command, "--db", db, code=1)
    assert out("verify", file.ids["tools"], "--db", db)


def test_a_body_that_cannot_be_read_is_a_finding(
    file: Recorded, tmp_path: Path
) -> None:
    db = tmp_path / "damaged.db"
    shutil.copy(file.db, db)
    connection = sqlite3.connect(db, isolation_level=None)
    connection.execute("UPDATE payloads SET answer = x'07'")
    connection.close()
    assert "unknown codec" in out("verify", file.ids["plain"], "--db", db, code=1)
    done = spiritsafe("export", "--format", "openai-chat", "--db", db)
    assert (0, b"") == (done.returncode, done.stdout)
    assert b"could not be read" in done.stderr
    done = spiritsafe("show", file.ids["plain"], "--db", db)
    assert 3 == done.returncode
    assert b"spiritsafe verify" in done.stderr
    assert 1 == done.stderr.count(b"\n")
