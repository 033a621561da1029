"""The command line as such: codes, sentences, help, and no file made by reading."""

import re
from pathlib import Path

import pytest

from tests.proxy.commands.recording import complaint, empty, out, spiritsafe, started
from tests.test_house import ROOT

COMMANDS = [
    "serve", "list", "search", "show", "tail", "stats", "prices", "verify", "doctor",
    "export", "demo", "tag", "rm", "prune", "backup", "keys", "schema",
]  # fmt: skip
GROUPED = [
    "keys list", "keys assign", "keys identify",
    "schema add", "schema list", "schema show", "schema bind", "schema unbind",
    "schema move", "schema bindings", "schema test", "schema infer",
]  # fmt: skip
READING = {
    "list": ["list"],
    "search": ["search", "word"],
    "show": ["show", "ex_1"],
    "tail": ["tail"],
    "stats": ["stats"],
    "verify": ["verify"],
    "verify one": ["verify", "ex_1"],
    "export": ["export", "--format", "openai-chat"],
}
CHANGING = {
    "tag": ["tag", "ex_1", "--add", "a=b"],
    "rm": ["rm", "ex_1"],
    "prune": ["prune"],
    "backup": ["backup", "copy.db"],
    "keys": ["keys", "list"],
}


@pytest.mark.parametrize(
    "command", [*READING.values(), *CHANGING.values()], ids=[*READING, *CHANGING]
)
def test_a_missing_file_is_named_and_not_made(
    tmp_path: Path, command: list[str]
) -> None:
    """And each command, started as people start it, imports what it needs."""
    db = tmp_path / "none.db"
    text = complaint(*command, "--db", db, code=3, run=started)
    assert f"{db} does not exist" in text
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [READING["list"], READING["verify"]])
@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_a_file_that_is_something_else_is_named(
    tmp_path: Path, command: list[str], content: bytes
) -> None:
    db = tmp_path / "other.db"
    db.write_bytes(content)
    assert str(db) in complaint(*command, "--db", db, code=3)
    assert content == db.read_bytes()
    assert [db] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [["none"], ["list", "--none"], ["list", "--limit", "x"], ["list", "--limit", "0"],
     ["show"], ["list", "--state", "x"], ["list", "--tag", "x"], ["export"]],
)  # fmt: skip
def test_wrong_use_is_code_2_and_a_sentence(command: list[str]) -> None:
    complaint(*command, code=2)


def test_no_command_is_help_and_code_2() -> None:
    assert "Commands:" in out(code=2)


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPED])
def test_every_command_has_help(command: str) -> None:
    text = out(*command.split(), "--help")
    assert "--db" in text or "Commands:" in text or command == "prices"


def test_the_help_and_the_readme_name_every_command() -> None:
    listed = re.findall(r"^  (\w+)  +[A-Z]", out("--help"), re.MULTILINE)
    assert COMMANDS == listed
    table = (ROOT / "README.md").read_text().partition("## Command line")[2]
    named = re.findall(r"^\| `spiritsafe (\w+)", table, re.MULTILINE)
    assert COMMANDS == named


def test_a_settings_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "spiritsafe.toml").write_text("listen = ")
    done = spiritsafe("list", folder=tmp_path)
    assert 2 == done.returncode
    assert 1 == done.stderr.count(b"\n")


def test_the_file_of_the_settings_is_read(tmp_path: Path) -> None:
    db = empty(tmp_path / "named.db")
    assert "" == out("list", "--json", SPIRITSAFE_DB=str(db))


def test_a_traceback_is_shown_to_those_who_ask(tmp_path: Path) -> None:
    db = tmp_path / "none.db"
    done = spiritsafe("list", "--db", db, SPIRITSAFE_LOG_LEVEL="debug")
    assert b"Traceback" in done.stderr
    assert b"does not exist" in done.stderr
