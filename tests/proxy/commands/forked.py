"""Runs `spiritsafe` without its imports: forked from a process that has them.

Of the 0.5 s that a command takes, 0.45 s are imports, which are the same each time;
`tests/proxy/test_cli.py` starts each command as people do. Nothing is opened and no
thread is started before the fork, so what runs is the program, in a process of its own.
"""

import atexit
import functools
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import proxy.commands
from proxy.cli import main

ROOT = Path(__file__).parents[3]
LONGEST = 1 << 20  # of what a command is told, in bytes
_ONE_BY_ONE = Lock()


class Wish(NamedTuple):
    """What to run."""

    arguments: list[str]
    folder: str
    variables: dict[str, str]


def forked(wish: Wish, *, timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run the program; return what it did.

    Raises: `TimeoutError` where it takes too long; all of its kind are ended then.
    """
    with (
        _ONE_BY_ONE,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        asked = parent()
        asked.settimeout(timeout_s)
        try:
            fds = [out.fileno(), err.fileno()]
            socket.send_fds(asked, [json.dumps(wish).encode()], fds)
            code = int(asked.recv(64))
        except BaseException:
            parent.cache_clear()
            raise
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(wish.arguments, code, out.read(), err.read())


@functools.cache
def parent() -> socket.socket:
    """Start the process to fork from, which ends with this one; return its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def tend(line: socket.socket) -> None:
    """Do wish after wish, until nobody can wish any more; in a child, be the program."""
    while True:
        data, fds, _, _ = socket.recv_fds(line, LONGEST, 2)
        if not data:
            return
        pid = os.fork()
        if not pid:
            line.close()
            live(Wish(*json.loads(data)), *fds)
        for fd in fds:
            os.close(fd)
        _, status = os.waitpid(pid, 0)
        line.send(str(os.waitstatus_to_exitcode(status)).encode())


def live(wish: Wish, out: int, err: int) -> None:
    """Be the program."""
    for fd, standard in ((out, 1), (err, 2)):
        os.dup2(fd, standard)
        os.close(fd)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    sys.argv = ["spiritsafe", *wish.arguments]
    os.environ.clear()
    os.environ.update(wish.variables)
    os.chdir(wish.folder)
    try:
        main()
    except SystemExit as exc:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # Taking the interpreter apart would copy all that is shared: 0.2 s.
        os._exit(int(exc.code or 0))


if __name__ == "__main__":
    for module in pkgutil.iter_modules(proxy.commands.__path__):
        importlib.import_module(f"proxy.commands.{module.name}")
    with socket.socket(fileno=int(sys.argv[1])) as wishes:
        tend(wishes)
