"""`serve`: what it says at its start, and what it says when there is none."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from proxy.commands.serving import told
from storage.recovery import RecoveryReport
from tests.canary import key
from tests.proxy.commands.recording import PROGRAM, complaint, out

UPSTREAM = "http://127.0.0.1:9/v1"


def serve(db: Path, *flags: str, **variables: str) -> subprocess.Popen[str]:
    command = [PROGRAM, "serve", "--listen=127.0.0.1:0", "--upstream", UPSTREAM]
    return subprocess.Popen(
        [*command, "--db", str(db), *flags],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def lines_of(child: subprocess.Popen[str]) -> list[str]:
    """Return what it says until it is ready."""
    assert child.stdout is not None
    lines = []
    for line in child.stdout:
        lines.append(line.strip())
        if line.startswith("export "):
            break
    return lines


def test_it_says_where_it_listens_records_and_forwards(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    child = serve(db, "--tag", "env=dev", "--tag", "team=a", "--durability", "relaxed")
    listening, recording, forwarding, export = lines_of(child)
    address = listening.removeprefix("listening on ")
    assert httpx.get(f"{address}/readyz").status_code == 200
    assert f"recording to {db} (relaxed)" == recording
    assert f"forwarding /v1 to {UPSTREAM}" == forwarding
    assert f"export OPENAI_BASE_URL={address}/v1" == export
    assert "" == out("list", "--json", "--db", db)  # beside a running server
    child.terminate()
    child.communicate(timeout=30)
    assert 0 == child.returncode


def test_an_address_of_every_interface_is_told_as_one_that_works(
    tmp_path: Path,
) -> None:
    token = {"SPIRITSAFE_CONSOLE_TOKEN": key("console")}
    child = serve(tmp_path / "s.db", "--listen", "0.0.0.0:0", **token)
    lines = lines_of(child)
    address = lines[-1].removeprefix("export OPENAI_BASE_URL=").removesuffix("/v1")
    assert address.startswith("http://127.0.0.1:")
    assert lines[0].startswith("listening on http://0.0.0.0:")
    assert "every interface" in lines[0]
    assert httpx.get(f"{address}/readyz").status_code == 200
    child.terminate()
    child.communicate(timeout=30)


def test_it_does_not_listen_to_others_without_a_token(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    said = complaint("serve", "--listen", "0.0.0.0:0", "--db", db, code=2)
    assert "SPIRITSAFE_CONSOLE_TOKEN" in said
    said = complaint(
        *("serve", "--listen", "0.0.0.0:0", "--db", db),
        code=2,
        SPIRITSAFE_CONSOLE_TOKEN="too-short",
    )
    assert "16 characters" in said
    assert "too-short" not in said
    assert not db.exists()


def test_a_start_after_a_crash_says_so_once(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    child = serve(db)
    lines_of(child)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    for sentences in (1, 0):
        child = serve(db)
        lines = lines_of(child)
        child.terminate()
        child.communicate(timeout=30)
        assert sentences == sum("did not stop cleanly" in line for line in lines)


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (
            RecoveryReport(1, 0, 0),
            "the last run did not stop cleanly: no exchange was cut off or lost",
        ),
        (
            RecoveryReport(1, 1, 0),
            "the last run did not stop cleanly: 1 cut off, 0 lost",
        ),
        (
            RecoveryReport(2, 3, 4),
            "2 runs did not stop cleanly: 3 cut off, 4 lost",
        ),
    ],
)
def test_what_recovery_found_is_a_sentence(
    report: RecoveryReport, sentence: str
) -> None:
    assert sentence == told(report)


def test_an_address_that_is_taken_is_code_3(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        text = complaint("serve", "--listen", listen, "--db", tmp_path / "s.db", code=3)
    assert f"cannot listen on {listen}" in text


def test_a_file_in_use_is_code_3(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    child = serve(db)
    lines_of(child)
    text = complaint("serve", "--listen", "127.0.0.1:0", "--db", db, code=3)
    assert f"in use by process {child.pid}" in text
    child.terminate()
    child.communicate(timeout=30)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--tag", "x"], "--tag 'x': write key=value"),
        (["--upstream", "ftp://a"], "is no base URL"),
        (["--durability", "x"], "durability: Input should be 'durable' or 'relaxed'"),
        (["--listen", "nowhere"], "is no address"),
    ],
)
def test_wrong_flags_are_a_sentence(
    tmp_path: Path, flags: list[str], says: str
) -> None:
    code = 3 if "--listen" in flags else 2
    assert says in complaint("serve", "--db", tmp_path / "s.db", *flags, code=code)
