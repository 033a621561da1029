"""Bare surroundings: what an image or an init system leaves out is not needed (F-73)."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.crash.running import COMMAND

UPSTREAM = "http://127.0.0.1:9/v1"
NOBODY = 54321  # a user that no file knows

BARE = {
    "nothing at all": {},
    "the C locale": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "folders that are not there": {"HOME": "/nowhere", "TMPDIR": "/nowhere"},
    "a time zone that is none": {"TZ": "No/Where"},
}


def serve(
    folder: Path, variables: dict[str, str], *, user: int | None = None
) -> tuple[int, str]:
    """Serve from a folder; return the status of /readyz and what was said."""
    words = ("--listen", "127.0.0.1:0", "--db", str(folder / "é.db"))
    command = [*COMMAND, "serve", *words, "--upstream", UPSTREAM]
    with subprocess.Popen(
        command, cwd=folder, env=variables, user=user, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        first = child.stdout.readline().decode()
        status = 0
        if first:
            address = first.removeprefix("listening on ").strip()
            status = httpx.get(f"{address}/readyz").status_code
        child.terminate()
        said = first + child.stdout.read().decode()
    return status * (child.returncode == 0), said


@pytest.mark.parametrize("lacking", BARE)
def test_f73_it_serves_with_little_around_it(tmp_path: Path, lacking: str) -> None:
    """No home, no temporary folder, no locale; a name that ASCII cannot spell."""
    status, said = serve(tmp_path, BARE[lacking])
    assert (200, True) == (status, "recording to " in said)
    assert (tmp_path / "é.db").exists()


def runs_as_nobody() -> bool:
    command = [sys.executable, "-c", "import proxy.cli"]
    try:
        return 0 == subprocess.run(command, user=NOBODY, check=False).returncode
    except PermissionError:
        return False


def test_f73_it_serves_as_a_user_that_no_file_knows(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start a program as another user")
    os.chown(tmp_path, NOBODY, NOBODY)
    for folder in tmp_path.parents[:-2]:
        folder.chmod(folder.stat().st_mode | 0o011)
    if not runs_as_nobody():
        pytest.skip("another user cannot run the Python of these tests")
    assert 200 == serve(tmp_path, {}, user=NOBODY)[0]
    assert NOBODY == (tmp_path / "é.db").stat().st_uid
