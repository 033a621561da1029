"""`export`: good answers as lines, the rest counted, memory flat."""

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from storage.recorder import Recorder
from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import PROGRAM, complaint, out, spiritsafe
from tests.storage.make import chat, clock, exchange
from tests.storage.test_reasks import ERROR, attempt, links

FORM = ("export", "--format", "openai-chat")


def test_good_answers_become_lines_and_the_rest_is_counted(file: Recorded) -> None:
    done = spiritsafe(*FORM, "--db", file.db)
    assert 0 == done.returncode
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["answer to hi", "one two", "answer to weather?"] == [
        line["messages"][-1]["content"] for line in lines
    ][:3]
    told = done.stderr.decode()
    assert "4 lines from 7 exchanges." in told
    assert "1 did not end as they should" in told
    assert "1 were answered with an error" in told
    assert "1 are kept without content" in told


def test_filters_and_a_file(file: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    flags = ("--tag", "name=plain", "--out", str(path))
    assert "" == out(*FORM, *flags, "--db", file.db)
    (line,) = path.read_text().splitlines()
    assert "answer to hi" == json.loads(line)["messages"][-1]["content"]
    assert 0o600 == path.stat().st_mode & 0o777


def test_what_cannot_be_written_or_is_no_format_is_a_sentence(
    file: Recorded, tmp_path: Path
) -> None:
    nowhere = tmp_path / "none" / "train.jsonl"
    assert "name another file with --out" in complaint(
        *FORM, "--out", nowhere, "--db", file.db, code=3
    )
    assert "write openai-chat, openai-dpo" in complaint(
        "export", "--format", "x", "--db", file.db, code=2
    )


def test_answers_set_right_become_preference_pairs(tmp_path: Path) -> None:
    """Of three attempts one line: the first answer and the last, for the first prompt."""
    asked = [("user", "q")]
    first = attempt(*asked, answer="{}")
    asked += [("assistant", "{}"), ("user", ERROR)]
    second = attempt(*asked, answer="[]")
    asked += [("assistant", "[]"), ("user", ERROR)]
    third = attempt(*asked, answer='{"name":"a"}', verdict="valid")
    db = tmp_path / "s.db"
    asyncio.run(links(db, first, second, third))
    done = spiritsafe("export", "--format", "openai-dpo", "--db", db)
    assert {
        "input": {"messages": [{"role": "user", "content": "q"}]},
        "preferred_output": [{"role": "assistant", "content": '{"name":"a"}'}],
        "non_preferred_output": [{"role": "assistant", "content": "{}"}],
    } == json.loads(done.stdout)
    assert [
        "1 lines from 3 exchanges.",
        "Left out: 1 do not ask again for what was answered wrongly.",
        "Left out: 1 asked again, and no valid answer came.",
    ] == done.stderr.decode().splitlines()[:3]
    assert 0 == spiritsafe("rm", first.id, "--db", db).returncode
    done = spiritsafe("export", "--format", "openai-dpo", "--db", db)
    assert b"" == done.stdout
    assert "1 are kept without content" in done.stderr.decode()


def test_pairs_are_what_the_last_verdicts_tell_apart(tmp_path: Path) -> None:
    """A looser schema finds the first answer right: then there is nothing to learn."""
    asked = [("user", "q")]
    first = attempt(*asked, answer="{}")
    asked += [("assistant", "{}"), ("user", ERROR)]
    second = attempt(*asked, answer='{"name":"a"}', verdict="valid")
    db, loose, strict = (tmp_path / name for name in ("s.db", "loose", "strict"))
    asyncio.run(links(db, first, second))
    loose.write_text("{}")
    strict.write_text('{"required":["name"]}')
    export, told = ("export", "--format", "openai-dpo", "--db", db), list[bytes]()
    for schema in (loose, strict):
        out("schema", "add", schema.name, schema, "--db", db)
        out("schema", "test", schema.name, "--apply", "--db", db)
        told.append(spiritsafe(*export).stdout)
    assert b"" == told[0]
    assert b'"non_preferred_output"' in told[1]


async def fill(db: Path, count: int) -> None:
    async with Recorder.open(db, clock=clock) as recorder:
        for start in range(0, count, 500):
            made = [
                exchange(chat(("user", f"question {start + n}")), text="x" * 400)
                for n in range(500)
            ]
            for one in made:
                recorder.accept(one.id)
            await asyncio.gather(*(recorder.keep(one) for one in made))


def export_peak_kib(db: Path, out_path: Path) -> int:
    """Return the most memory that an export of this file took."""
    child = subprocess.Popen([PROGRAM, *FORM, "--out", out_path, "--db", db])
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert 0 == child.returncode
    return used.ru_maxrss


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    """20 000 rows take as much as 500."""
    few, many = tmp_path / "few.db", tmp_path / "many.db"
    asyncio.run(fill(few, 500))
    asyncio.run(fill(many, 20_000))
    path = tmp_path / "train.jsonl"
    base_kib = export_peak_kib(few, path)
    peak_kib = export_peak_kib(many, path)
    assert 20_000 == len(path.read_bytes().splitlines())
    assert peak_kib - base_kib < 8 * 1024
