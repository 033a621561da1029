"""`schema test`: recordings are judged, and keep the verdicts only where told to."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.wishing import register
from storage.reading import open_library
from storage.reasks import Link, link_of
from storage.registering import Entry
from tests.living import living_proxy
from tests.proxy.commands.recording import complaint, lines, out
from tests.proxy.schemas.test_history import (
    ANSWERS,
    SCHEMA,
    answered,
    completion,
    recorded,
)
from tests.storage.make import chat, exchange

DOCUMENT = json.dumps(SCHEMA).encode()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return a file with five exchanges and two versions of a schema."""
    names = ("valid", "invalid", "words", "refused", "call")
    made = [
        answered(ANSWERS[name], tags={"name": name}, verdict="valid", schema="old@1")
        for name in names
    ]
    path = recorded(tmp_path / "s.db", *made)
    for document in (b'{"type": "array"}', DOCUMENT):
        register(path, Entry(do="add", schema="invoice", document=document))
    return path


def reported(db: Path, *flags: str) -> dict[str, Any]:
    told = json.loads(out("schema", "test", "invoice@2", *flags, "--json", "--db", db))
    assert isinstance(told, dict)
    return told


def verdicts(db: Path) -> list[tuple[str | None, str | None, str | None, int]]:
    with open_library(db) as library:
        return [
            (
                row.schema,
                row.verdict,
                row.error_path,
                len(library.whole(row).judgements),
            )
            for row in library.rows()
        ]


def test_counts_rate_and_places_are_told_and_nothing_is_touched(db: Path) -> None:
    before = verdicts(db)
    told = reported(db)
    assert ("invoice@2", False, 5, 5, 0.5) == (
        told["schema"], told["applied"], told["exchanges"], told["judged"],
        told["pass_ratio"],
    )  # fmt: skip
    assert {"valid": 2, "invalid": 2, "refused": 1} == told["verdicts"]
    assert {("", 1), ("/n", 1)} == {(its["at"], its["count"]) for its in told["errors"]}
    assert before == verdicts(db)


def test_faults_of_a_whole_value_are_found(db: Path) -> None:
    """In no other exchange: of most is no fault, and `error_path` is null."""
    reported(db, "--apply")
    for text in ('error:""', 'error_path:""'):
        found = out("list", text, "--json", "--db", db).splitlines()
        assert [("invalid", "")] == [
            (row["verdict"], row["error_path"]) for row in map(json.loads, found)
        ]
    assert 2 == len(out("list", "has:error_path", "--json", "--db", db).splitlines())


def test_a_person_gets_the_same_in_words(db: Path) -> None:
    told = out("schema", "test", "invoice", "--where", "tag.name:invalid", "--db", db)
    assert "invoice@2: 1 of 1 exchanges judged; 0.0% of valid and invalid" in told
    assert "invalid    1  (1 valid before)" in told
    assert "/n" in told.splitlines()[-1]


def test_older_versions_and_files_are_tried_too(db: Path, tmp_path: Path) -> None:
    first = json.loads(out("schema", "test", "invoice@1", "--json", "--db", db))
    assert {"invalid": 4, "refused": 1} == first["verdicts"]
    path = tmp_path / "new.json"
    path.write_bytes(DOCUMENT)
    told = json.loads(out("schema", "test", path, "--json", "--db", db))
    assert {"valid": 2, "invalid": 2, "refused": 1} == told["verdicts"]
    assert "register the schema first" in complaint(
        "schema", "test", path, "--apply", "--db", db, code=2
    )


def test_many_places_are_told_in_part(tmp_path: Path) -> None:
    made = [answered(completion(content=f'{{"p{n}": 1}}')) for n in range(25)]
    db = recorded(tmp_path / "s.db", *made)
    path = tmp_path / "names.json"
    texts = {"type": "string"}
    path.write_text(json.dumps({"additionalProperties": texts}))
    told = out("schema", "test", path, "--db", db)
    assert "and 5 more places: see --json" in told
    assert 25 == len(
        json.loads(out("schema", "test", path, "--json", "--db", db))["errors"]
    )


def test_what_is_not_judged_is_counted(tmp_path: Path) -> None:
    deep = '{"of": ' + "[" * 2000 + "]" * 2000 + "}"
    made = [
        answered(completion(content=deep)),
        answered(ANSWERS["valid"], status=500),
        answered(ANSWERS["valid"], content_kept=False),
        answered(b"words"),
    ]
    db = recorded(tmp_path / "s.db", *made)
    register(db, Entry(do="add", schema="invoice", document=DOCUMENT))
    told = out("schema", "test", "invoice", "--db", db)
    assert "1 of 4 exchanges judged" in told
    assert "Unchecked: 1 (too_deep)." in told
    for why in ("answered with an error", "without content", "no text and no call"):
        assert "Not judged: 1 " in told
        assert why in told


def test_what_is_wrong_is_said(db: Path, tmp_path: Path) -> None:
    assert "no schema is registered as bill" in complaint(
        "schema", "test", "bill", "--db", db, code=1
    )
    assert "--where" not in complaint(
        "schema", "test", "invoice", "--where", "nonsense:x", "--db", db, code=2
    )
    path = tmp_path / "broken.json"
    path.write_text('{"type": "nothing"}')
    assert "/type" in complaint("schema", "test", path, "--db", db, code=2)


APPLIED = [
    ("invoice@2", "valid", None, 1),
    ("invoice@2", "invalid", "/n", 1),
    ("invoice@2", "invalid", "", 1),
    ("invoice@2", "refused", None, 1),
    ("invoice@2", "valid", None, 1),
]


def test_verdicts_that_are_applied_stand_beside_the_old_ones(db: Path) -> None:
    assert reported(db, "--apply")["applied"]
    assert APPLIED == verdicts(db)
    reported(db, "--apply", "--where", "tag.name:words")
    assert ("invoice@2", "invalid", "", 2) == verdicts(db)[2]
    assert 2 == len(out("list", "verdict:invalid", "--db", db).splitlines()[1:])


def test_filters_lists_and_sums_know_the_verdicts(db: Path) -> None:
    reported(db, "--apply")
    found = lines("list", "error:/n schema:invoice@* has:verdict", "--db", db)
    assert [("invoice@2", "invalid", "/n")] == [
        (row["schema"], row["verdict"], row["error_path"]) for row in found
    ]
    assert " 200 invalid " in out("list", "error:/*", "--db", db)
    by = ("stats", "--by", "schema,model,day", "--db", db)
    (group,) = json.loads(out(*by, "--json"))["groups"]
    assert ("invoice@2", 5, 2, 2, 0.5) == (
        group["schema"], group["judged"], group["valid"], group["invalid"],
        group["pass_ratio"],
    )  # fmt: skip
    head, line = out(*by).splitlines()[:2]
    assert ["judged", "pass"] == head.split()[-2:]
    assert ["5", "50.0%"] == line.split()[-2:]


def test_who_asked_again_before_there_was_a_schema_is_linked(tmp_path: Path) -> None:
    wrong, right = '{"n": "x"}', '{"n": 1}'
    asked = [("user", "q")]
    made = [exchange(chat(*asked), text=wrong)]
    asked += [
        ("assistant", wrong),
        ("user", "Validation Error found:\nn is no integer"),
    ]
    made.append(exchange(chat(*asked), text="[]"))
    asked += [("assistant", "[]"), ("user", "Validation Error found:\nno object")]
    made.append(exchange(chat(*asked), text=right))
    asked += [("assistant", right), ("user", "and the next?")]
    made.append(exchange(chat(*asked), text=right))
    db = recorded(tmp_path / "s.db", *made)
    register(db, Entry(do="add", schema="invoice", document=DOCUMENT))
    for _ in range(2):
        out("schema", "test", "invoice", "--apply", "--db", db)
    with open_library(db) as library:
        links = [link_of(library.connection, seq) for seq in range(1, 5)]
    assert [None, Link(1, 1, "client"), Link(2, 1, "client"), None] == links
    pair = json.loads(out("export", "--format", "openai-dpo", "--db", db))
    assert [{"role": "user", "content": "q"}] == pair["input"]["messages"]
    assert [{"role": "assistant", "content": right}] == pair["preferred_output"]


@pytest.mark.anyio
async def test_a_running_server_keeps_them_itself(db: Path) -> None:
    async with living_proxy(db, "http://127.0.0.1:9"):
        told = await asyncio.to_thread(reported, db, "--apply")
    assert told["applied"]
    assert APPLIED == verdicts(db)
