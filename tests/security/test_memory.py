"""What it holds in memory stays there (S-07), what it writes and reads is its own (S-60)."""

import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.commands.secrecy import planted
from tests.crash.running import refusal, serving

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
]

ROOT = Path(__file__).parents[2]
CORE = resource.RLIMIT_CORE
NOWHERE = "http://127.0.0.1:9/v1"


async def test_s07_a_crash_leaves_no_core(tmp_path: Path) -> None:
    """Even where the one who starts it allows cores of any size."""
    before = resource.getrlimit(CORE)
    resource.setrlimit(CORE, (before[1], before[1]))
    try:
        async with serving(tmp_path / "s.db", NOWHERE) as running:
            assert (0, 0) == resource.prlimit(running.process.pid, CORE)
            running.tell(signal.SIGABRT)
            await running.ended()
    finally:
        resource.setrlimit(CORE, before)
    assert -signal.SIGABRT == running.process.returncode


ASKED = """
import ctypes, sys
from proxy.commands.secrecy import keep_memory
keep_memory(debuggers=sys.argv[1] == "debug")
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
"""


@pytest.mark.parametrize(("level", "dumpable"), [("info", "0"), ("debug", "1")])
def test_s07_no_other_program_of_the_user_reads_its_memory(
    level: str, dumpable: str
) -> None:
    """The kernel says so; at debug level debuggers and profilers may attach."""
    asked = [sys.executable, "-c", ASKED, level]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert dumpable == done.stdout.strip()


INDEX = ("-index", "-index-wal", "-index-shm", "-index.owner")
BESIDE = {
    f"s.db{end}"
    for end in ("", "-wal", "-shm", ".owner", ".secret", ".reserve", ".spool", *INDEX)
}


async def test_s60_all_it_makes_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    async with serving(folder / "s.db", NOWHERE):
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode)
            for path in (folder, *folder.iterdir())
        }
    assert 0o700 == modes.pop("made")
    assert BESIDE == set(modes)
    assert {0o600} == set(modes.values())


@pytest.mark.parametrize(("name", "code"), [("spiritsafe.toml", 2), ("s.db", 3)])
async def test_s60_a_file_that_anybody_may_change_is_refused(
    tmp_path: Path, name: str, code: int
) -> None:
    path = tmp_path / name
    path.touch()
    path.chmod(0o646)
    given = ("--db", str(tmp_path / "s.db"), "--listen", "127.0.0.1:0")
    ended, (line,) = await refusal(*given, folder=tmp_path)
    assert (code, True) == (ended, f"{path} can be written by every user" in line)


def test_s60_a_file_that_another_user_laid_in_an_open_folder_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "spiritsafe.toml"
    path.touch()
    assert None is planted(path)
    assert None is planted(tmp_path / "missing")
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    os.chown(path, 12345, 12345)
    assert None is planted(path)
    tmp_path.chmod(0o1777)
    assert "belongs to another user" in (planted(path) or "")
