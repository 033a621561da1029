"""Instructor, unchanged, through the proxy: every mode has its schema and its verdict.

`make test` installs it into a venv of its own. All calls are made by one process, for
to import it takes seconds; each test looks at what came of some of them.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from storage.assemble import Kept
from storage.reading import open_library
from storage.reasks import link_of
from storage.records import Json
from tests.clients.instructed.upstream import answering
from tests.living import living_proxy
from tests.scripted_upstream import scripted_upstream

PYTHON: Final = Path(__file__).parents[2] / ".instructor/bin/python"
CALLS: Final = Path(__file__).parent / "instructed/calls.py"

pytestmark = pytest.mark.skipif(
    not PYTHON.with_name("instructor").exists(),
    reason="INSTRUCTOR IS NOT TESTED: scripts/instructor did not install it",
)

TOKEN: Final = "instructor-console-token-000000"
CONSOLE: Final = {"authorization": f"Bearer {TOKEN}"}

GOOD: Json = {"name": "Ada", "age": 36}
BAD: Json = {"name": "Ada", "age": "old"}
USER: Json = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
USERS: Json = {
    "type": "object",
    "properties": {"tasks": {"type": "array", "items": USER}},
    "required": ["tasks"],
}

CONTENT: Final = "/choices/0/message/content"
CALL: Final = "/choices/0/message/tool_calls/0/function/arguments"
ITEM: Final = "/output/1/arguments"

MODES: Final = {  # where the payload is, the schema's name, why it applies
    "TOOLS": (CALL, "User", "tool"),
    "TOOLS_STRICT": (CALL, "User", "tool"),
    "FUNCTIONS": (CALL, "User", "tool"),  # 1.17 sends tools for it
    "JSON": (CONTENT, "user@1", "header"),
    "MD_JSON": (CONTENT, "user@1", "header"),
    "JSON_SCHEMA": (CONTENT, "User", "response_format"),
    "JSON_O1": (CONTENT, "User", "response_format"),  # 1.17 sends a format for it
    "OPENROUTER_STRUCTURED_OUTPUTS": (CONTENT, "User", "response_format"),
    "RESPONSES_TOOLS": (ITEM, "User", "tool"),
    "RESPONSES_TOOLS_WITH_INBUILT_TOOLS": (ITEM, "User", "tool"),
}
STREAMED: Final = [(mode, how) for mode in MODES for how in ("partial", "items")]


AGAIN: Final = [(mode, how) for mode in MODES for how in ("whole", "partial")]
"""Those in which Instructor asks again; of a stream of items it gives up."""


class Ran(NamedTuple):
    """What the callers got, and what is recorded, by model."""

    told: Mapping[str, Any]
    kept: Mapping[str, list[Kept]]
    db: Path

    def verdicts(self, model: str) -> list[tuple[str, str, str, str]]:
        """Return slot, schema, reason to apply and verdict, of every exchange."""
        return [
            (one.slot, one.schema, one.why, one.verdict)
            for kept in self.kept[model]
            for one in kept.judgements
        ]


def expected(mode: str, how: str) -> tuple[str, str, str]:
    """Return slot, schema and reason to apply; Instructor wraps what it streams."""
    slot, name, why = MODES[mode]
    if why == "header":
        name = "users@1" if how == "items" else name
    else:
        name = {"partial": f"Partial{name}", "items": f"Iterable{name}"}.get(how, name)
    return slot, name, why


def scenes() -> dict[str, tuple[str, str, list[Any]]]:
    """Return mode, how it is asked, and the payloads that answer, by model."""
    made = {f"{mode}-whole": (mode, "whole", [GOOD]) for mode in MODES}
    for mode, how in AGAIN:
        made[f"{mode}-{how}-again"] = (mode, how, [BAD, GOOD])
    for mode, how in STREAMED:
        payload = {"tasks": [GOOD, GOOD]} if how == "items" else GOOD
        made[f"{mode}-{how}"] = (mode, how, [payload])
    both = [GOOD, {"city": "Oslo", "unit": "C"}]
    return made | {"parallel": ("PARALLEL_TOOLS", "whole", [both])}


async def run(folder: Path) -> Ran:
    script = answering({model: told for model, (_, _, told) in scenes().items()})
    asked = [[mode, how, model] for model, (mode, how, _) in scenes().items()]
    async with (
        scripted_upstream(script) as upstream,
        living_proxy(folder / "s.db", upstream.url, console_token=TOKEN) as proxy,
        httpx.AsyncClient(base_url=proxy.url, headers=CONSOLE) as console,
    ):
        for name, schema in (("user", USER), ("users", USERS)):
            (await console.put(f"/api/schemas/{name}", json=schema)).raise_for_status()
        process = await asyncio.create_subprocess_exec(
            str(PYTHON),
            str(CALLS),
            env={
                "PATH": os.environ["PATH"],
                "OPENAI_BASE_URL": proxy.base_url,
                "OPENAI_API_KEY": "sk-instructor",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, complaints = await process.communicate(json.dumps(asked).encode())
        assert 0 == process.returncode, complaints.decode()
    kept: dict[str, list[Kept]] = {model: [] for model in scenes()}
    with open_library(proxy.db) as library:
        for row in library.rows():
            kept[row.model_asked].append(library.whole(row))
    return Ran(json.loads(told), kept, proxy.db)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return asyncio.run(run(tmp_path_factory.mktemp("instructor")))


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_has_its_schema_and_its_verdict(ran: Ran, mode: str) -> None:
    model = f"{mode}-whole"
    assert GOOD == ran.told[model]
    assert [(*expected(mode, "whole"), "valid")] == ran.verdicts(model)


@pytest.mark.parametrize(("mode", "how"), STREAMED)
def test_each_streamed_mode_has_its_schema_and_its_verdict(
    ran: Ran, mode: str, how: str
) -> None:
    model = f"{mode}-{how}"
    assert ([GOOD, GOOD] if how == "items" else GOOD) == ran.told[model]
    (kept,) = ran.kept[model]
    assert kept.row.streamed
    assert [(*expected(mode, how), "valid")] == ran.verdicts(model)


@pytest.mark.parametrize(("mode", "how"), AGAIN)
def test_a_failing_answer_is_asked_for_again_and_the_two_are_linked(
    ran: Ran, mode: str, how: str
) -> None:
    model = f"{mode}-{how}-again"
    assert GOOD == ran.told[model]
    said = expected(mode, how)
    assert [(*said, "invalid"), (*said, "valid")] == ran.verdicts(model)
    first, second = ran.kept[model]
    assert ["/age"] == [fault.at for fault in first.judgements[0].faults]
    assert "/age" == first.row.error_path
    with sqlite3.connect(ran.db) as connection:
        link = link_of(connection, second.row.seq)
    connection.close()
    assert link is not None
    assert (first.row.seq, first.row.seq, "client") == (
        link.rejected,
        link.root,
        link.by,
    )


def test_parallel_calls_are_judged_by_their_own_tools(ran: Ran) -> None:
    assert [GOOD, {"city": "Oslo", "unit": "C"}] == ran.told["parallel"]
    assert [
        (CALL, "User", "tool", "valid"),
        (CALL.replace("calls/0", "calls/1"), "Weather", "tool", "valid"),
    ] == ran.verdicts("parallel")
