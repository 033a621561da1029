"""Nobody reads what `serve` says, or it has nowhere to say it: it serves all the same."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.crash.running import COMMAND, until
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Wire,
    completion,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio

Files = dict[str, int]


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


@contextlib.asynccontextmanager
async def serving(
    folder: Path, upstream: str, *, files: Files, shell: str = ""
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """Run `serve` on a socket in the folder, its standard files as given."""
    path = folder / "s.sock"
    words = (
        "--listen",
        f"unix:{path}",
        "--db",
        folder / "s.db",
        "--upstream",
        upstream,
    )
    command = (*COMMAND, "serve", *map(str, words))
    if shell:
        command = ("sh", "-c", f'exec "$@" {shell}', "sh", *command)
    loud = {**os.environ, "SPIRITSAFE_LOG_LEVEL": "debug"}  # and readable in /proc
    process = await asyncio.create_subprocess_exec(*command, env=loud, **files)  # type: ignore[arg-type]  # descriptors
    try:
        async with asyncio.timeout(60):
            await until(lambda: answers(path) or process.returncode is not None)
        assert process.returncode is None
        yield process, path
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


async def ask(path: Path, target: str = "/v1/chat/completions") -> int:
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_unix_connection(str(path))
        client = RawClient(reader, writer)
        await client.post(target, CHAT)
        status, headers = await client.head()
        await client.body(headers)
        writer.close()
        await writer.wait_closed()
        return status


async def stop(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        return await process.wait()


def a_pipe_nobody_reads() -> int:
    """Return the writing end of a pipe that is full and stays full."""
    _, write = os.pipe()  # the reading end stays open, unread
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    return write


def a_pipe_without_reader() -> int:
    read, write = os.pipe()
    os.close(read)
    return write


def a_full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


WHERE = [a_pipe_nobody_reads, a_pipe_without_reader, a_full_disk]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
async def test_f71_f72_whatever_becomes_of_its_words_it_serves(
    tmp_path: Path, where: Callable[[], int], name: str
) -> None:
    """Neither its start nor an answer waits for a reader, nor does the end."""
    descriptor = where()
    async with (
        scripted_upstream(plain) as upstream,
        serving(tmp_path, upstream.url, files={name: descriptor}) as (process, path),
    ):
        for _ in range(3):
            assert 200 == await ask(path)
        assert 0 == await stop(process)
    os.close(descriptor)


def standard(pid: int) -> list[Path]:
    return [Path(f"/proc/{pid}/fd/{number}").resolve() for number in (0, 1, 2)]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
async def test_f72_closed_files_are_never_taken_for_the_database(
    tmp_path: Path, closed: str
) -> None:
    """The next file opened would get the number of a closed one, and be written to."""
    async with (
        scripted_upstream(plain) as upstream,
        serving(tmp_path, upstream.url, files={}, shell=closed) as (process, path),
    ):
        assert 200 == await ask(path)
        assert [] == [to for to in standard(process.pid) if to.is_relative_to(tmp_path)]
        assert 0 == await stop(process)


LOGS = """
import logging, os, sys
from proxy.commands.serving import log_to_stderr
log_to_stderr("info")
for number in range(20000):
    logging.getLogger("proxy").info("line %d of very many, and rather long", number)
os.write(1, b"not held up")
"""


def test_f71_a_log_that_nobody_takes_is_dropped_and_counted() -> None:
    """20 000 lines into a full pipe: the program goes on, and says later what was lost."""
    read, write = os.pipe()
    told = {"stdout": subprocess.PIPE, "stderr": write}
    with subprocess.Popen([sys.executable, "-c", LOGS], **told) as program:  # type: ignore[call-overload]  # descriptors
        os.close(write)
        assert b"not held up" == program.stdout.read(11)
        with os.fdopen(read, "rb") as log:
            said = log.read()
    assert 0 == program.returncode
    assert said.startswith(b"INFO proxy: line 0 of very many")
    assert b" lines of the log were lost" in said
