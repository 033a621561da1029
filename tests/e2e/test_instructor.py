"""Instructor before llama.cpp: what it takes is valid, and what is not it asks for again.

The model says anything; only where its server holds it to a grammar is the first answer
right.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.e2e.conftest import Program

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = ROOT / ".instructor/bin/python"
CALLS: Final = ROOT / "tests/clients/instructed/calls.py"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not PYTHON.with_name("instructor").exists(),
        reason="INSTRUCTOR IS NOT TESTED: scripts/instructor did not install it",
    ),
]

CALL: Final = "/choices/0/message/tool_calls/0/function/arguments"
CONTENT: Final = "/choices/0/message/content"
KIND: Final = {
    "type": "object",
    "properties": {"kind": {"enum": ["a", "b"]}, "old": {"type": "boolean"}},
    "required": ["kind", "old"],
}

MODES: Final = {  # those that this server takes: it knows no `json_schema`
    "TOOLS": (CALL, "Kind", "tool"),
    "TOOLS_STRICT": (CALL, "Kind", "tool"),
    "FUNCTIONS": (CALL, "Kind", "tool"),
    "JSON": (CONTENT, "kind@1", "header"),
    "MD_JSON": (CONTENT, "kind@1", "header"),
}


class Ran(NamedTuple):
    """What Instructor gave, and the exchanges of each mode in their order."""

    told: dict[str, Any]
    shown: dict[str, list[Any]]


@pytest.fixture(scope="module")
def ran(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    document = tmp_path_factory.mktemp("schema") / "kind.json"
    document.write_text(json.dumps(KIND))
    program.ask("schema", "add", "kind", str(document))
    done = subprocess.run(
        [PYTHON, CALLS],
        input=json.dumps([[mode, "short", mode] for mode in MODES]),
        env={
            "PATH": os.environ["PATH"],
            "OPENAI_BASE_URL": str(program.client.base_url),
            "OPENAI_API_KEY": "e2e-instructor",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    shown: dict[str, list[Any]] = {}
    for mode in MODES:
        rows = program.lines("list", f"model:{mode}")
        shown[mode] = [program.ask("show", row["id"]) for row in reversed(rows)]
    return Ran(json.loads(done.stdout), shown)


@pytest.mark.parametrize("mode", MODES)
def test_what_instructor_takes_is_valid(ran: Ran, mode: str) -> None:
    judged = [one["judgements"][0] for one in ran.shown[mode]]
    told = {(one["slot"], one["schema"], one["why"]) for one in judged}
    assert {MODES[mode]} == told
    verdicts = [one["verdict"] for one in judged]
    assert (ran.told[mode] is not None) == (verdicts[-1] == "valid")
    assert "valid" not in verdicts[:-1]
    assert set(verdicts) <= {"valid", "invalid", "truncated"}


def test_a_grammar_makes_the_first_answer_valid(ran: Ran) -> None:
    assert ran.told["TOOLS"] is not None
    assert 1 == len(ran.shown["TOOLS"])
