"""Starts `spiritsafe serve` without its imports: forked from a process that has them.

A start costs some 0.6 s of imports, which no fault touches, and some 0.05 s of the
program's own. The nursery has the first behind it, so that a thousand kills do not pay
for it a thousand times. It opens no file and starts no thread before it forks, so what
runs in the child is the program as it stands, in a process of its own.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from proxy.cli import main
from tests.crash import seeded
from tests.crash.running import ROOT

PRELOADED = ("proxy.commands.serving", "proxy.commands.opening")


class Birth(NamedTuple):
    """What the nursery is told to start."""

    arguments: list[str]
    variables: dict[str, str]
    bug: str = ""


@dataclass
class Child:
    """A serving process."""

    pid: int
    pidfd: int
    port: int

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        self.tell(signal.SIGKILL)
        await self.ended()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    async def ended(self) -> None:
        """Wait for its end."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.pidfd, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(self.pidfd)


class Nursery:
    """The running nursery, as its parent sees it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = asyncio.Lock()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator["Nursery"]:
        """Start the nursery; it ends with the block."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.torture.nursery", str(theirs.fileno())),
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
            try:
                yield cls(ours)
            finally:
                ours.close()  # it ends when nobody can ask any more
                await process.wait()

    @contextlib.asynccontextmanager
    async def serving(
        self,
        db: Path,
        upstream: str,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        bug: str = "",
    ) -> AsyncIterator[Child]:
        """Run `spiritsafe serve` on port 0 until the block ends; then it is killed.

        What it says on stderr goes to a file beside `db`. `bug` is one of
        `tests/crash/seeded.py`, to be found out.
        """
        told, tell = os.pipe()
        with db.with_suffix(".log").open("ab") as log:
            try:
                place = ("--listen", "127.0.0.1:0", "--db", str(db))
                birth = Birth(
                    ["serve", *place, "--upstream", upstream, *arguments],
                    dict(variables or {}),
                    bug,
                )
                pid, pidfd = await self._ask(birth, tell, log.fileno())
            finally:
                os.close(tell)
        child = Child(pid, pidfd, 0)
        try:
            child.port = await listening(told)
            yield child
        finally:
            await child.kill()
            os.close(pidfd)

    async def _ask(self, birth: Birth, *fds: int) -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        async with self._lock:
            socket.send_fds(self._sock, [json.dumps(birth).encode()], list(fds))
            said = asyncio.Event()
            loop.add_reader(self._sock, said.set)
            try:
                await said.wait()
            finally:
                loop.remove_reader(self._sock)
            data, (pidfd,), _, _ = socket.recv_fds(self._sock, 64, 1)
        return int(data), pidfd


async def listening(told: int) -> int:
    """Read the first line that the program says; return the port it names."""
    reader = asyncio.StreamReader()
    # uvloop closes the descriptor by itself: closed again, it may be another's by then.
    pipe = os.fdopen(told, "rb", closefd=False)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        line = (await reader.readline()).decode()
    finally:
        transport.close()
    found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
    assert found is not None, f"said {line!r}; its log says why"
    return int(found[1])


def tend(sock: socket.socket) -> None:
    """Fork a child for each birth that is asked for, until nobody can ask."""
    while True:
        data, fds, _, _ = socket.recv_fds(sock, 65536, 2)
        if not data:
            return
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        birth = Birth(*json.loads(data))
        pid = os.fork()
        if not pid:
            sock.close()
            live(birth, *fds)
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(sock, [str(pid).encode()], [pidfd])
        os.close(pidfd)


def live(birth: Birth, out: int, err: int) -> None:
    """Be the program."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    # What python made for the nursery's own streams does not fit other kinds of files.
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["spiritsafe", *birth.arguments]
    for name in [name for name in os.environ if name.startswith("SPIRITSAFE_")]:
        del os.environ[name]
    os.environ.update(birth.variables)
    if birth.bug:
        seeded.seed(birth.bug)
    main()


if __name__ == "__main__":
    for module in PRELOADED:
        __import__(module)
    with socket.socket(fileno=int(sys.argv[1])) as line:
        tend(line)
