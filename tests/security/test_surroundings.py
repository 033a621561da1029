"""What we are made of and started in: pinned, floored, apart (S-62, S-63), reportable (S-64)."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("spiritsafe")

LOCKS = sorted(path.name for path in (ROOT / "requirements").glob("*.txt"))
FLOORS = {"starlette": (1, 3, 1), "h11": (0, 16), "aiohttp": (3, 14, 4)}

# Code that runs at each start of Python: ours, and what is known and needed.
AT_EVERY_START = {
    "_editable_impl_spiritsafe.pth",  # this checkout
    "a1_coverage.pth",  # coverage of child processes, in development only
    "distutils-precedence.pth",  # setuptools, in development only
}


def locked(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))


def test_s62_what_serving_needs_is_pinned_with_hashes() -> None:
    text = (ROOT / "requirements/run.txt").read_text()
    entries = re.split(r"\n(?=[\w.-]+==)", text)
    bare = [entry[:40] for entry in entries if "--hash=sha256:" not in entry]
    assert (True, []) == (len(entries) > 15, bare)


@pytest.mark.parametrize("lock", LOCKS)
def test_s62_nothing_older_than_a_fixed_hole_is_locked(lock: str) -> None:
    for name, floor in FLOORS.items():
        version = locked(lock).get(name)
        if version is not None:
            assert floor <= tuple(map(int, version.split(".")))


def test_s62_no_package_runs_code_at_every_start_of_python() -> None:
    """As a stealer of 2026 did, by a file `.pth` in a wheel."""
    files = [
        str(file)
        for distribution in importlib.metadata.distributions()
        for file in distribution.files or ()
        if str(file).endswith(".pth") or "customize" in file.name
    ]
    assert set() == set(files) - AT_EVERY_START
    serving = {distribution.lower() for distribution in locked("run.txt")}
    assert set() == serving & {"coverage", "setuptools"}


EVIL = "import pathlib; pathlib.Path('ran').touch()\n"


def test_s63_the_working_folder_adds_no_code(tmp_path: Path) -> None:
    """Neither one of ours, nor one of the standard library, nor a `sitecustomize`."""
    names = ("proxy", "storage", "json", "typer", "uvloop", "sitecustomize")
    for name in names:
        (tmp_path / f"{name}.py").write_text(EVIL)
    kept = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    done = subprocess.run(
        [PROGRAM, "doctor", "--json"],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"sound"' in done.stdout
    assert not (tmp_path / "ran").exists()


def test_s63_the_image_starts_apart_from_variables_and_folder() -> None:
    entry = re.findall(
        r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert [
        '["/opt/spiritsafe/bin/python", "-I", "/opt/spiritsafe/bin/spiritsafe"]'
    ] == entry


def test_s64_how_to_report_is_said_and_linked() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()
    for word in ("Report a vulnerability", "privately", "## What is promised"):
        assert word in page
