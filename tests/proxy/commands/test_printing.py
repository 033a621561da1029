"""Progress is for terminals, JSON for programs, whatever the text holds."""

import json
import os
import pty

import pytest

from proxy.commands import printing


def test_long_work_shows_how_far_it_is_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setattr("proxy.commands.printing.SHOWN_AFTER_S", 0)
    monkeypatch.setenv("TERM", "xterm-256color")
    with (
        os.fdopen(theirs, "w") as terminal,
        os.fdopen(ours, "rb", buffering=0) as screen,
    ):
        monkeypatch.setattr("sys.stderr", terminal)
        with printing.progress("checking", 200) as done:
            done(100)
            seen = b""
            while b"100/200" not in seen:  # what it has not shown, the read waits for
                seen += screen.read(4096)
        assert b"checking" in seen
        monkeypatch.undo()


def test_short_work_and_pipes_show_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with printing.progress("checking", 2) as done:
        done(1)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with printing.progress("checking", 2) as done:
            done(1)
        terminal.write("end")
        terminal.flush()
        assert b"end" == os.read(ours, 4096)
        monkeypatch.undo()
    os.close(ours)
    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize("text", ["plain", "\x9b2J\u202e\u2028", "lone \ud800 one"])
def test_json_is_one_line_that_says_the_text_and_steers_nothing(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printing.write_json({"text": text})
    line = capsys.readouterr().out
    assert {"text": text} == json.loads(line)
    assert [line.strip()] == line.splitlines()
    assert "\x9b" not in line
