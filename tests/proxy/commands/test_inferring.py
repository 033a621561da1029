"""`schema infer`: a schema of what was answered well, that a person can go on with."""

import json
from pathlib import Path

from tests.proxy.commands.recording import complaint, out, spiritsafe
from tests.proxy.schemas.test_history import (
    ANSWERS,
    STREAM,
    answered,
    calling,
    completion,
    recorded,
)


def test_answers_that_went_well_make_a_schema(tmp_path: Path) -> None:
    db = recorded(
        tmp_path / "s.db",
        answered(completion(content='{"n": 1, "on": "2026-11-21"}')),
        answered(completion(content='```json\n{"n": 2.5}\n```')),
        answered(STREAM, streamed=True, verdict="invalid"),
        answered(ANSWERS["words"]),
        answered(ANSWERS["cut"]),
        answered(ANSWERS["valid"], content_kept=False),
    )
    done = spiritsafe("schema", "infer", "--db", db)
    assert 0 == done.returncode, done.stderr.decode()
    schema = json.loads(done.stdout)
    assert ["n"] == schema["required"]
    assert {
        "n": {"type": "number"},
        "on": {"type": "string", "format": "date"},
    } == schema["properties"]
    told = done.stderr.decode()
    assert "From 2 answers" in told
    assert "Left out: 2 did not end well" in told
    assert "Left out: 1 hold no JSON" in told
    assert "Left out: 1 have a verdict that is not valid" in told
    path = tmp_path / "n.json"
    path.write_bytes(done.stdout)
    assert '"invalid": 2' in out("schema", "test", path, "--json", "--db", db)


def test_one_tool_at_a_time_and_the_newest_first(tmp_path: Path) -> None:
    other = json.loads(json.dumps(calling('{"m": 1}')).replace('"f"', '"g"'))
    db = recorded(
        tmp_path / "s.db",
        answered(calling('{"old": 1}')),
        answered(other),
        answered(calling('{"n": 1}', '{"n": 2}')),
    )
    assert "choose one with --tool" in complaint("schema", "infer", "--db", db, code=2)
    newest = json.loads(out("schema", "infer", "--limit", "1", "--db", db))
    assert ["n"] == newest["required"]
    both = json.loads(out("schema", "infer", "--tool", "f", "--db", db))
    assert {"n", "old"} == set(both["properties"])
    assert "holds JSON" in complaint(
        "schema", "infer", "--where", "status:500", "--db", db, code=1
    )
