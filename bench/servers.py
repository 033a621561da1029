"""Runs one program on one core, and reads from /proc what it takes."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PROXY_CORE, LOAD_CORE = "0", "1"
START_S = 90  # LiteLLM takes a quarter of it


class NotStarted(Exception):
    """A server did not come up; the message says what it wrote last."""


class Server:
    """A running program and its children.

    Units: `start_s` seconds until its port took a connection.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.start_s = 0.0

    def family(self) -> list[int]:
        """Return its process id and those below it."""
        found = [self.process.pid]
        for pid in found:
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, path.read_text().split())
        return found

    def resident_bytes(self) -> int:
        """Return the resident size of all its processes together."""
        pages = [
            int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            for pid in self.family()
        ]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> list[str]:
        """Return what its open descriptors lead to."""
        found = []
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(path.readlink()))
        return found

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    core: str,
    command: list[str],
    port: int,
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server on one core until the block ends; end it by its process id.

    Raises: `NotStarted` with the end of its log.
    """
    taskset = shutil.which("taskset") or "taskset"
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [taskset, "-c", core, *command],
            stdout=out,
            stderr=out,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
        )
    server = Server(process, port)
    try:
        _wait_for(server, log)
        server.start_s = time.monotonic() - began
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(server: Server, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while server.process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", server.port), timeout=1),
        ):
            return
        time.sleep(0.01)
    raise NotStarted(log.read_text(errors="replace")[-600:] or "it said nothing")
