"""Keys that tests send, made to be found again wherever one should ever be written.

Files of SQLite are read through their tables too: what they keep is compressed.
"""

import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard

from storage.bodies import Packer
from storage.errors import BodyTooLarge

CANARY = re.compile(rb"CANARY-[a-z0-9-]+-[0-9a-f]{16}")
MAX_BYTES = 256 * 1024 * 1024
FOLDERS = pytest.StashKey[Path]()  # where the folders of this run's tests are


def key(purpose: str) -> str:
    """Return a key that no other call returns; the purpose says who leaked it."""
    return f"CANARY-{purpose}-{secrets.token_hex(8)}"


def in_bytes(data: bytes) -> set[str]:
    """Return the canaries in some bytes."""
    return {found.decode("ascii") for found in CANARY.findall(data)}


def in_tree(root: Path) -> list[str]:
    """Return a line for each canary in a file under `root`, and for each such name."""
    leaks = []
    for path in sorted(root.rglob("*")):
        found = in_bytes(path.name.encode())
        if path.is_file() and not path.is_symlink():
            found |= in_bytes(path.read_bytes())
            for value in values(path):
                found |= in_bytes(value)
        leaks += [f"{canary} is in {path}" for canary in sorted(found)]
    return leaks


def values(path: Path) -> Iterator[bytes]:
    """Yield what each cell of a SQLite file unpacks to; of other files nothing."""
    with path.open("rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            return
    packer = Packer()
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        try:
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            for (table,) in connection.execute(query).fetchall():
                for row in connection.execute(f'SELECT * FROM "{table.decode()}"'):
                    yield from (plain(packer, cell) for cell in row)
        except sqlite3.Error:
            return  # a test has damaged it: its bytes were searched as they are


def plain(packer: Packer, cell: object) -> bytes:
    """Return the bytes of a cell, unpacked where it is a packed body."""
    if not isinstance(cell, bytes):
        return b""
    try:
        return packer.unpack(cell, max_bytes=MAX_BYTES)
    except (ValueError, zstandard.ZstdError, BodyTooLarge):
        return cell


class Watch:
    """The pytest plugin that fails a run in which a key was written down anywhere.

    Searched are the folders of all tests, before pytest removes them, and all that
    tests wrote to the log, stdout and stderr.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.leaks: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Search what one phase of a test has logged and printed."""
        for title, text in report.sections:
            for canary in sorted(in_bytes(text.encode("utf-8", "replace"))):
                self.leaks.append(f"{canary} is in {report.nodeid}: {title}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search the folders, and fail the run that leaks."""
        root = self.config.stash.get(FOLDERS, None)
        if root is not None:
            self.leaks += in_tree(root)
        if hasattr(self.config, "workeroutput"):  # one of several side by side
            self.config.workeroutput["leaks"] = self.leaks
        if self.leaks:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a process has found in the folders of its tests."""
        self.leaks += getattr(node, "workeroutput", {}).get("leaks", [])

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Say which key leaked where."""
        if self.leaks:
            terminalreporter.section("KEYS WERE WRITTEN DOWN (S-01, S-03)", red=True)
            for leak in dict.fromkeys(self.leaks):
                terminalreporter.line(leak)
