"""Verifying: a sound file has no findings, and each damage has one."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage import changes, epochs
from storage.assemble import Kept, Row
from storage.reading import Library, open_library
from storage.recorder import Recorder
from storage.records import Edit
from storage.verify import Finding, Progressed, Reedit, verify
from tests.storage.make import chat, clock, exchange

pytestmark = pytest.mark.anyio


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    async with Recorder.open(tmp_path / "a.db", clock=clock) as recorder:
        made = [
            exchange(
                chat(("system", "s"), ("user", f"{number} " * 200)), text="a" * 300
            )
            for number in range(3)
        ]
        for one in made:
            recorder.accept(one.id)
        await asyncio.gather(*(recorder.keep(one) for one in made))
    return tmp_path / "a.db"


def found(path: Path, reedit: Reedit | None = None) -> list[str]:
    with open_library(path) as library:
        steps = list(verify(library, reedit=reedit))
    return [step.what for step in steps if isinstance(step, Finding)]


async def test_a_sound_file_has_no_findings(path: Path) -> None:
    with open_library(path) as library:
        assert list(verify(library)) == [Progressed(3, 3)]


DAMAGE = {
    "UPDATE payloads SET answer = x'006f74686572' WHERE seq = 1": "the answer has 5 bytes",
    "UPDATE payloads SET answer = zeroblob(900)": "the answer has 899 bytes",
    "UPDATE payloads SET answer = x'0162726f6b656e' WHERE seq = 1": "content size",
    "UPDATE payloads SET answer = x'07' WHERE seq = 1": "unknown codec",
    "UPDATE payloads SET answer_sha256 = x'00' WHERE seq = 1": "the answer is not",
    "UPDATE payloads SET request_sha256 = x'00' WHERE seq = 1": "the request is not",
    "UPDATE payloads SET extras = x'00c1' WHERE seq = 1": "malformed",
    "UPDATE payloads SET skeleton = 99 WHERE seq = 1": "lost its skeleton",
    "UPDATE pieces SET data = x'006f74686572' WHERE id = 2": "content of its hash",
    "UPDATE pieces SET data = x'0162726f6b656e' WHERE id = 2": "piece 2",
    "DELETE FROM pieces WHERE id = 2": "has lost element",
    "DELETE FROM nodes WHERE parent = 0": "has lost element",
    "UPDATE nodes SET depth = 7 WHERE id = 1": "does not follow its parent",
    "UPDATE exchanges SET verdict = 'valid' WHERE seq = 1": "it has a verdict",
    "INSERT INTO judgements VALUES (9, 0, '', '', x'', '', 'valid', '', x'', 0, '')": (
        "1 judgements are of no exchange"
    ),
    "DELETE FROM payloads WHERE seq = 2": "the bodies are missing",
    "DELETE FROM exchanges WHERE seq = 2": "1 of 3 sequence numbers",
    "UPDATE exchanges SET state = 'incomplete' WHERE seq = 2": "3 complete, and 2 rows",
    "UPDATE exchanges SET thread = 2 WHERE seq = 3": "its thread is not",
    "UPDATE exchanges SET parent = 77 WHERE seq = 3": "its thread is not",
    "UPDATE epochs SET unrecorded = 1": "not all accounted for",
}


@pytest.mark.parametrize("sql", DAMAGE)
async def test_damage_is_found(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(sql)
    connection.close()
    assert any(DAMAGE[sql] in what for what in found(path))


async def test_what_is_committed_meanwhile_is_no_finding(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder commits rows and its totals together; a check sees both or neither."""
    read = epochs.read

    def read_and_commit(connection: sqlite3.Connection) -> list[epochs.Epoch]:
        runs = read(connection)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.executescript(
            "BEGIN; UPDATE exchanges SET state = 'incomplete' WHERE seq = 1;"
            "UPDATE epochs SET complete = 2, incomplete = 1; COMMIT;"
        )
        writer.close()
        return runs

    monkeypatch.setattr("storage.epochs.read", read_and_commit)
    assert found(path) == []


async def test_a_flipped_page_is_found(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    (page,) = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'exchanges_id'"
    ).fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek(page * size - 20)
        file.write(b"\xff" * 8)
    wrong = found(path)
    assert any("integrity_check" in what for what in wrong)
    assert any("cannot be read" in what for what in wrong)


async def test_edits_prove_what_was_sent(path: Path) -> None:
    def same(request: bytes, edits: tuple[Edit, ...]) -> bytes:
        assert edits == (Edit("body", "store", "true"),)
        return request

    assert found(path, same) == []
    wrong = found(path, lambda request, _: request + b" ")
    assert wrong == ["what was sent is not the request with its declared edits"] * 3


async def test_what_is_removed_while_it_is_checked_is_no_finding(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Library.whole

    def remove_and_read(library: Library, row: Row) -> Kept:
        with closing(sqlite3.connect(path, isolation_level=None)) as writer:
            change = changes.strip if row.seq % 2 else changes.remove
            change(writer, [row.seq])
        return whole(library, row)

    monkeypatch.setattr(Library, "whole", remove_and_read)
    assert found(path) == []
