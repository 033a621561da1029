"""`list` and `tail`: newest first, filtered, fitted, harmless; and rows as they come."""

import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from storage.recorder import Recorder
from storage.records import Progress
from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import (
    PROGRAM,
    REQUESTS,
    STEERING,
    complaint,
    empty,
    lines,
    out,
    spiritsafe,
)
from tests.storage.make import clock, exchange

NAMES = list(REQUESTS)


def listed(file: Recorded, *flags: str) -> list[str]:
    """Return which requests are listed, by name."""
    return [row["tags"]["name"] for row in lines("list", "--db", file.db, *flags)]


def test_rows_come_newest_first(file: Recorded) -> None:
    assert NAMES[::-1] == listed(file)
    assert NAMES[:-3:-1] == listed(file, "--limit", "2")


@pytest.mark.parametrize("command", [("list",), ("search", "ans*")])
def test_a_list_that_is_cut_says_so_beside_it(
    file: Recorded, command: tuple[str, ...]
) -> None:
    cut = spiritsafe(*command, "--limit", "1", "--json", "--db", file.db)
    assert 1 == len(cut.stdout.splitlines())
    assert b"there is more" in cut.stderr
    assert b"" == spiritsafe(*command, "--db", file.db).stderr
    assert b"" == spiritsafe(*command, "--limit", "7", "--db", file.db).stderr


def test_pages_follow_one_another_by_id_or_its_start(file: Recorded) -> None:
    third = file.ids[NAMES[2]]
    assert NAMES[1::-1] == listed(file, "--before", third)
    assert NAMES[1::-1] == listed(file, "--before", third[:19])


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (["--status", "429"], ["refused"]),
        (["--state", "incomplete"], ["cut"]),
        (["--tag", "name=tools"], ["tools"]),
        (["--model", "m-429"], ["refused"]),
        (["--upstream", "none"], []),
        (["status:429"], ["refused"]),
        (["is:stream", "has:tag.name"], ["cut", "streamed"]),
        (["is:stream or status>=400", "--state", "complete"], ["refused", "streamed"]),
        (["not weather", "tag.name:*s"], []),
        (["weather"], ["tools"]),
        (['"answer to hi"'], ["plain"]),
        (['not "to hi" and answer'], ["hostile", "tools"]),
        (["slow down"], ["refused"]),
        (["tool:get_weather"], []),
        (["tokens>3", "id:chatcmpl-2"], ["plain"]),
        (["after:2020-01", "before:2021"], []),
    ],
)
def test_flags_and_filters(file: Recorded, flags: list[str], found: list[str]) -> None:
    assert found == listed(file, *flags)


def test_a_row_as_json_has_what_programs_ask_for(file: Recorded) -> None:
    rows = lines("list", "--db", file.db)
    row = next(row for row in rows if row["tags"]["name"] == "plain")
    wanted = {
        "id": file.ids["plain"],
        "state": "complete",
        "status": 200,
        "streamed": False,
        "tags": {"env": "test", "name": "plain"},
        "prompt_preview": "hi",
        "answer_preview": "answer to hi",
    }
    assert wanted == {name: row[name] for name in wanted}
    assert 3 == row["usage"]["prompt_tokens"]


def test_a_table_names_each_row_and_its_ending(file: Recorded) -> None:
    lines = out("list", "--db", file.db).splitlines()
    assert lines[0].startswith("time (UTC)")
    assert [file.ids[name][:19] for name in NAMES[::-1]] == [
        line.split()[2] for line in lines[1:]
    ]
    text = "\n".join(lines)
    assert "200 upstream_truncated" in text
    assert "once more → ! slow down" in text
    assert "hi → answer to hi" in text
    assert "(content not kept)" in text


def test_the_short_id_of_a_table_can_be_shown(file: Recorded) -> None:
    short = out("list", "--db", file.db).splitlines()[1].split()[2]
    assert "cut me" in out("show", short, "--db", file.db)


@pytest.mark.parametrize(
    ("command", "width"), [("list", 30), ("list", 60), ("list", 80), ("tail", 80)]
)
def test_lines_fit_the_terminal(file: Recorded, command: str, width: int) -> None:
    lines = out(command, "--db", file.db, COLUMNS=str(width)).splitlines()
    assert len(NAMES) + 1 == len(lines)
    if width >= 60:
        assert max(map(len, lines)) <= width
        assert all(file.ids[name][:19] in "\n".join(lines) for name in NAMES)


@pytest.mark.parametrize("command", ["list", "tail", "stats"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_s41_recorded_text_steers_no_pipe(
    file: Recorded, command: str, flags: list[str]
) -> None:
    text = out(command, "--db", file.db, *flags)
    assert "red" in text
    assert [] == [steering for steering in STEERING if steering in text]


def in_terminal(*command: str | Path) -> str:
    """Return what the program writes to a terminal of 200 columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    child = subprocess.Popen(
        [PROGRAM, *map(str, command)],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # EIO: the other end is closed
        pass
    assert 0 == child.wait(30)
    os.close(ours)
    return seen.decode()


def test_s41_recorded_text_steers_no_terminal(file: Recorded) -> None:
    text = in_terminal("list", "--db", file.db)
    colours = re.compile(r"\x1b\[[0-9;]*m")  # what a table may be painted with
    assert colours.search(text)
    bare = colours.sub("", text).replace("\r\n", "\n")
    assert [] == [steering for steering in STEERING if steering in bare]
    assert "\\x1b[31mred" in bare
    assert max(map(len, bare.splitlines())) <= 200
    assert "[bold]" in in_terminal("show", file.ids["hostile"], "--db", file.db)


def test_markup_and_emoji_names_stay_as_they_are(file: Recorded) -> None:
    text = out("list", "--db", file.db, "--tag", "name=hostile", COLUMNS="400")
    assert "[bold]x[/]" in text
    assert ":boom:" in text


def test_tail_shows_the_last_rows_oldest_first(file: Recorded) -> None:
    lines = out("tail", "-n", "3", "--json", "--db", file.db).splitlines()
    assert NAMES[-3:] == [json.loads(line)["tags"]["name"] for line in lines]


def heed_interrupts() -> None:
    """Undo what a background shell does: its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.anyio
async def test_tail_follows_rows_as_they_end(tmp_path: Path) -> None:
    """One that is open is told when it has ended, each one once."""
    db = tmp_path / "a.db"
    async with Recorder.open(db, clock=clock) as recorder:
        one, late, two = exchange(), exchange(), exchange()
        for made in (one, late, two):
            recorder.accept(made.id)
        await recorder.keep(one)
        child = subprocess.Popen(  # noqa: ASYNC220  the test waits for it, nothing else
            [PROGRAM, "tail", "-f", "-n", "1", "--json", "--db", str(db)],
            stdout=subprocess.PIPE,
            preexec_fn=heed_interrupts,  # noqa: PLW1509  no thread of ours runs here
        )
        assert child.stdout is not None
        assert one.id == json.loads(child.stdout.readline())["id"]
        opened = exchange(id=late.id, state="open", answer=b"", answer_keys=())
        recorder.note(Progress(exchange=opened, part=b"so far", at_byte=0))
        await recorder.keep(two)
        assert two.id == json.loads(child.stdout.readline())["id"]
        await recorder.keep(late)
        ended = json.loads(child.stdout.readline())
        assert (late.id, "complete") == (ended["id"], ended["state"])
        child.send_signal(signal.SIGINT)
        rest, _ = child.communicate(timeout=30)
    assert b"" == rest
    assert 130 == child.returncode


def test_a_reader_that_leaves_is_no_trouble(file: Recorded) -> None:
    child = subprocess.Popen(
        [PROGRAM, "list", "--db", str(file.db)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    assert b"" == child.stderr.read()
    child.stderr.close()
    assert 1 == child.wait(30)


def test_an_empty_file_lists_nothing(tmp_path: Path) -> None:
    db = empty(tmp_path / "e.db")
    assert "" == out("list", "--json", "--db", db)
    done = spiritsafe("list", "--db", db)
    assert (0, b"") == (done.returncode, done.stdout)
    assert b"nothing recorded" in done.stderr
    assert "" == out("tail", "--json", "--db", db)
    assert [] == json.loads(out("stats", "--json", "--db", db))["groups"]


def test_search_shows_where_the_words_stand(file: Recorded) -> None:
    found = lines("search", "brief", "status:200", "--db", file.db)
    assert [("tools", True)] == [
        (row["tags"]["name"], row["excerpt"].startswith("be brief")) for row in found
    ]
    assert "excerpt" in out("search", "brief", "--db", file.db)
    done = spiritsafe("search", "nowhere", "--db", file.db)
    assert (0, b"") == (done.returncode, done.stdout)
    assert STEERING[0] not in out("search", "flip", "--db", file.db)


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (["status:200", "modl:x"], "column 12: there is no field 'modl': did you mean"),
        (["' OR 1=1; DROP TABLE exchanges --"], "no letter or digit"),
        (["(a"], "'(' is never closed"),
        (["x" * 5000], "4096 characters at most"),
        (["\udc80"], "U+DC80 is no text"),
    ],
)
def test_a_filter_that_cannot_be_read_is_told_with_its_column(
    file: Recorded, filters: list[str], told: str
) -> None:
    assert told in complaint("list", *filters, "--db", file.db, code=2)
