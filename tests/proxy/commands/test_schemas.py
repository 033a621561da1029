"""`spiritsafe schema`: beside no server and beside one, the same comes of it."""

import contextlib
import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.cli import cli
from proxy.commands import schemas
from proxy.commands.errors import CommandError, Refused, WrongUse
from proxy.commands.modelling import schema_of
from tests.crash.running import serving
from tests.proxy.commands.recording import PROGRAM, complaint, lines, out, spiritsafe

ONE = '{"type":  "object"}'


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Return a file in which `invoice` is registered."""
    document = tmp_path / "invoice.json"
    document.write_text(ONE)
    schemas.add(tmp_path / "s.db", "invoice", file=str(document))
    return tmp_path / "s.db"


def schema(db: Path, *command: str | Path) -> Any:
    """Return what a command tells programs."""
    (told,) = lines("schema", *command, "--db", db)
    return told


def test_a_schema_is_added_listed_and_shown(db: Path, tmp_path: Path) -> None:
    document = tmp_path / "invoice.json"
    assert "invoice@1 already\n" == out(
        "schema", "add", "invoice", document, "--db", db
    )
    document.write_text('{"type": "array"}')
    added = schema(db, "add", "invoice", document)
    assert ("invoice@2", True, "file") == (added["ref"], added["new"], added["source"])
    assert [added["ref"]] == [its["ref"] for its in schema(db, "list")]
    assert f"{ONE}\n" == out("schema", "show", "invoice@1", "--db", db)
    shown = schema(db, "show", "invoice")
    assert ({"type": "array"}, [1, 2]) == (shown["document"], shown["versions"])
    assert "invoice@2" in out("schema", "list", "--db", db)


def test_a_schema_comes_on_stdin(db: Path) -> None:
    told = out("schema", "show", "invoice", "--db", db)
    done = subprocess.run(
        [PROGRAM, "schema", "add", "copy", "-", "--db", db],
        input=told.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"copy@1\n" == done.stdout


def test_who_binds_without_a_rule_is_told_that_it_is_all_traffic(
    db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas.bind(db, {"schema": "invoice"}, tags=[])
    told = capsys.readouterr()
    assert "bound: 1, invoice to everything, observe\n" == told.out
    assert "all traffic: 'spiritsafe schema unbind 1' ends it" in told.err
    schemas.bind(db, {"schema": "invoice", "tool": "save"}, tags=[])
    assert "" == capsys.readouterr().err


def test_bindings_are_listed_moved_and_ended(db: Path) -> None:
    rule = ("--model", "gpt-4o*", "--tag", "task=x", "--format-name", "Invoice")
    made = schema(db, "bind", "invoice", *rule, "--policy", "repair", "--attempts", "3")
    assert ("repair", 3) == (made["policy"], made["attempts"])
    assert ({"task": "x"}, "Invoice") == (
        made["rule"]["tags"],
        made["rule"]["format_name"],
    )
    told = out("schema", "bind", "invoice@1", "--tool", "save", "--db", db)
    assert "bound: 2, invoice@1 to tool=save, observe\n" == told
    schema(db, "move", "2", "1")
    assert [2, 1] == [its["id"] for its in schema(db, "bindings")]
    table = out("schema", "bindings", "--db", db)
    assert "model=gpt-4o* tag.task=x format-name=Invoice" in table
    assert "repair, 3 attempts" in table
    schema(db, "unbind", "2")
    assert [1] == [its["id"] for its in schema(db, "bindings")]


def test_nothing_registered_is_said(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    assert "does not exist" in complaint("schema", "list", "--db", db, code=3)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('{"type": "objekt"}', "at /type"),
        ('{"a": {"$ref": "http://a/b"}}', "at /a/$ref"),
        ("{", "invoice.json: "),
    ],
)
def test_a_broken_schema_is_refused(tmp_path: Path, document: str, told: str) -> None:
    file, db = tmp_path / "invoice.json", tmp_path / "s.db"
    file.write_text(document)
    command = ["schema", "add", "invoice", str(file), "--db", str(db)]
    with pytest.raises(Refused, match=re.escape(told)):
        cli(command, standalone_mode=False)
    assert not db.exists()


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("add", "a b", "/dev/null"), 1, "is no name"),
        (("add", "a"), 2, "name a file"),
        (("add", "a", "x.json", "--pydantic", "a:B"), 2, "name a file"),
        (("add", "a", "/nowhere/x.json"), 3, "cannot be read"),
        (("show", "order"), 1, "no schema is registered as 'order'"),
        (("show", "invoice@2"), 1, "no schema"),
        (("bind", "order"), 1, "no schema is registered as order"),
        (("bind", "invoice", "--policy", "x"), 2, "--policy: "),
        (("bind", "invoice", "--endpoint", "x"), 2, "--endpoint: "),
        (("bind", "invoice", "--prompt", "x"), 2, "--prompt: "),
        (("bind", "invoice", "--attempts", "99"), 2, "--attempts: "),
        (("bind", "invoice", "--tag", "x"), 2, "--tag 'x'"),
        (("bind", "a b"), 2, "--schema: "),
        (("unbind", "1"), 1, "no binding has the number 1"),
        (("move", "1", "1"), 1, "no binding has the number 1"),
    ],
)
def test_what_cannot_be_is_said(
    db: Path, command: tuple[str, ...], code: int, told: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(told)) as raised:
        cli(["schema", *command, "--db", str(db)], standalone_mode=False)
    assert code == raised.value.exit_code


@pytest.mark.anyio
async def test_a_running_server_makes_the_change_itself(
    db: Path, tmp_path: Path
) -> None:
    async with serving(db, "http://127.0.0.1:9"):
        file = tmp_path / "invoice.json"
        file.write_text('{"type": "array"}')
        assert "invoice@2" == schema(db, "add", "invoice", file)["ref"]
        assert 1 == schema(db, "bind", "invoice", "--policy", "header")["id"]
        assert "header" == schema(db, "bindings")[0]["policy"]
        said = complaint("schema", "bind", "order", "--db", db, code=1)
        assert "says: no schema is registered as order" in said


MODELS = """
import os, sys, threading, time
from pathlib import Path
from pydantic import BaseModel
print("noise on stdout")
threading.Thread(target=time.sleep, args=(1000,)).start()
class Invoice(BaseModel):
    total: float
    key: str = os.environ.get("OPENAI_API_KEY", "none")
class Outer:
    class Inner(BaseModel):
        a: int
Names = list[str]
"""


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("shop:Invoice", {"key": "none"}),
        ("shop:Outer.Inner", {}),
        ("shop:Names", None),
    ],
)
def test_a_pydantic_model_is_imported_without_secrets(
    tmp_path: Path, spec: str, expected: dict[str, str] | None
) -> None:
    (tmp_path / "shop.py").write_text(MODELS)
    done = spiritsafe(
        *("schema", "add", "made", "--pydantic", spec, "--db", "s.db", "--json"),
        folder=tmp_path,
        OPENAI_API_KEY="sk-0123456789abcdef",
    )
    assert 0 == done.returncode, done.stderr
    assert "pydantic" == json.loads(done.stdout)["source"]
    made = schema(tmp_path / "s.db", "show", "made")["document"]
    if expected is None:
        assert "array" == made["type"]
        return
    members = made["properties"]
    assert expected == {
        name: its["default"] for name, its in members.items() if "default" in its
    }


@pytest.mark.parametrize(
    ("module", "spec", "told"),
    [
        ("", "shop:A", "no attribute 'A'"),
        ("", "nowhere:A", "No module named 'nowhere'"),
        ("import os; os._exit(7)", "shop:A", "exit 7"),
        ("a = 'a' * 8 * 1024**3", "shop:A", "MemoryError"),
        ("open('big', 'wb').write(b'a' * 8 * 1024**2)", "shop:A", "File too large"),
    ],
)
def test_what_cannot_be_imported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, spec: str, told: str
) -> None:
    (tmp_path / "shop.py").write_text(module)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match=re.escape(told)):
        schema_of(spec)


@pytest.mark.parametrize("spec", ["shop", "shop:", "../shop:A", ":A", "a b:C"])
def test_what_names_no_model_is_said(spec: str) -> None:
    with pytest.raises(WrongUse, match="write module:Class"):
        schema_of(spec)


def test_what_an_import_says_steers_no_terminal(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("raise RuntimeError('no \\x1b[31m')")
    done = spiritsafe("schema", "add", "a", "--pydantic", "shop:A", folder=tmp_path)
    assert (1, False) == (done.returncode, b"\x1b" in done.stderr)
    assert b"RuntimeError: no" in done.stderr
    assert not (tmp_path / "spiritsafe.db").exists()


def test_another_python_may_import_the_model(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MODELS)
    command = ("schema", "add", "a", "--pydantic", "shop:Invoice", "--python")
    done = spiritsafe(*command, "/nowhere/python", folder=tmp_path)
    assert (3, True) == (done.returncode, b"does not start" in done.stderr)
    assert 0 == spiritsafe(*command, sys.executable, folder=tmp_path).returncode


def test_an_import_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that it started: a child of its own is gone as well."""
    (tmp_path / "shop.py").write_text(
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(1000)\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="took longer than 3 s"):
        schema_of("shop:A", timeout_s=3)
    child = int((tmp_path / "child").read_text())
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(child)
        assert select.select([descriptor], [], [], 30)[0], "it runs on"
        os.close(descriptor)
