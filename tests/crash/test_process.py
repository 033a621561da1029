"""What happens to the process itself: signals, pauses, few descriptors, closed pipes."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from storage.reading import open_library
from storage.verify import Finding, verify
from tests.crash.running import COMMAND, Running, metrics, serving, sums_of, until
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def asked(port: int) -> int:
    """Make one call; return its status."""
    async with RawClient.connect(port) as client:
        await client.post(PATH, CHAT)
        status, headers = await client.head()
        await client.body(headers)
        return status


async def reasons(db: Path) -> list[str | None]:
    """Return why each exchange is incomplete; nothing may be wrong with the file."""
    with open_library(db) as library:
        assert [] == [step for step in verify(library) if isinstance(step, Finding)]
        return [row.reason for row in library.rows()]


async def stopped(running: Running) -> None:
    """Stop it and see that it ends well."""
    running.tell(signal.SIGTERM)
    code, _ = await running.ended()
    assert 0 == code


@pytest.mark.parametrize("count", [50, 500])
async def test_f06_many_streams_are_kept_as_far_as_they_came(
    tmp_path: Path, count: int
) -> None:
    """None is dropped, and none gets an end that the upstream never sent."""
    db, over = tmp_path / "s.db", asyncio.Event()
    first = delta("begins ")

    async def endless(_: RawRequest, wire: Wire) -> None:
        await wire.events(first, end=False)
        await over.wait()

    async with (
        scripted_upstream(endless) as upstream,
        serving(db, upstream.url, variables={"SPIRITSAFE_DRAIN_S": "1"}) as running,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [
            await stack.enter_async_context(RawClient.connect(running.port))
            for _ in range(count)
        ]
        for client in clients:
            await client.post(PATH, STREAMED)
        for client in clients:
            await client.reader.readuntil(first)
        await stopped(running)
        for client in clients:
            rest = await client.rest()
            assert DONE not in rest
            assert not rest.endswith(b"0\r\n\r\n")
        over.set()
    assert ["proxy_shutdown"] * count == await reasons(db)


async def test_f06_what_is_answered_while_draining_says_close(tmp_path: Path) -> None:
    """A whole answer to whoever asked before; nobody is asked to come back here."""
    go, heard = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        heard.set()
        await go.wait()
        await wire.answer(completion())

    async with (
        scripted_upstream(script) as upstream,
        serving(tmp_path / "s.db", upstream.url) as running,
        RawClient.connect(running.port) as client,
        RawClient.connect(running.port) as idle,
    ):
        await client.post(PATH, CHAT)
        await heard.wait()
        running.tell(signal.SIGTERM)
        assert b"" == await idle.rest()
        go.set()
        status, headers = await client.head()
        assert (200, "close") == (status, headers["connection"])
        assert completion() == await client.body(headers)
        assert b"" == await client.rest()
        code, said = await running.ended()
    assert (0, "") == (code, said)
    assert [None] == await reasons(tmp_path / "s.db")


async def test_f06_a_broken_pipe_signal_is_nothing(tmp_path: Path) -> None:
    async with (
        scripted_upstream(plain) as upstream,
        serving(tmp_path / "s.db", upstream.url) as running,
    ):
        running.tell(signal.SIGPIPE)
        assert 200 == await asked(running.port)
        await stopped(running)


async def test_f06_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    command = ("/bin/sh", "-c", 'trap "" HUP; exec "$0" "$@"', *COMMAND)
    async with (
        scripted_upstream(plain) as upstream,
        serving(tmp_path / "s.db", upstream.url, command=command) as running,
    ):
        running.tell(signal.SIGHUP)
        assert 200 == await asked(running.port)
        await stopped(running)


async def test_f05_a_pause_of_the_process_loses_nothing(tmp_path: Path) -> None:
    """Stopped in mid-stream and continued: the rest arrives, all of it is kept."""
    db, more = tmp_path / "s.db", asyncio.Event()
    events = [delta(f"word {number} ") for number in range(500)]

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(events[0], end=False)
        await more.wait()
        for event in (*events[1:], delta("", "stop"), DONE):
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await wire.send(b"0\r\n\r\n")

    async with (
        scripted_upstream(script) as upstream,
        serving(db, upstream.url) as running,
        RawClient.connect(running.port) as client,
    ):
        await client.post(PATH, STREAMED)
        _, headers = await client.head()
        running.tell(signal.SIGSTOP)
        more.set()
        late = asyncio.get_running_loop().create_task(asked_of(running.port))
        await asyncio.sleep(1)
        assert not late.done()
        running.tell(signal.SIGCONT)
        body = await client.body(headers)
        assert b"".join((*events, delta("", "stop"), DONE)) == body
        assert 200 == await late
        await stopped(running)
    assert [None] == await reasons(db)


async def asked_of(port: int) -> int:
    """Ask /healthz; return the status."""
    async with RawClient.connect(port) as client:
        await client.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        return (await client.head())[0]


def descriptors(running: Running) -> int:
    """Return how many files and sockets a process has open."""
    return len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))


async def test_f63_s52_few_descriptors_refuse_some_and_recover(tmp_path: Path) -> None:
    """Past the limit connections fail; none of it stays when the crowd has gone."""
    db = tmp_path / "s.db"
    command = ("/bin/sh", "-c", 'ulimit -n 256; exec "$0" "$@"', *COMMAND)
    async with (
        scripted_upstream(plain) as upstream,
        serving(db, upstream.url, command=command) as running,
    ):
        before = descriptors(running)
        async with RawClient.connect(running.port) as early:
            crowd = [
                await asyncio.open_connection("127.0.0.1", running.port)
                for _ in range(400)
            ]
            await early.send(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            assert 200 == (await early.head())[0]
            await early.body({"content-length": "3"})
            await early.post(PATH, CHAT)  # there is no descriptor for an upstream
            status, headers = await early.head()
            assert status in {200, 502, 503}
            assert await early.body(headers)
            for _, writer in crowd:
                writer.close()
        await until(lambda: descriptors(running) <= before + 2)
        for _ in range(20):
            assert 200 == await asked(running.port)
        assert sums_of(await metrics(running.port)).unrecorded == 0
        await stopped(running)
    assert (await reasons(db)).count(None) >= 20


@pytest.mark.parametrize("how", ["closed", "full"])
async def test_f72_nobody_reads_what_it_says_and_it_goes_on(
    tmp_path: Path, how: str
) -> None:
    """Whatever calls it serves it says nothing, not even at debug level."""
    read, write = os.pipe()
    if how == "closed":
        os.close(read)
    else:
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(write, b"x" * 65536):
                pass
        os.set_blocking(write, True)
    async with scripted_upstream(plain) as upstream:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *("serve", "--listen", "127.0.0.1:0", "--db", str(tmp_path / "s.db")),
            *("--upstream", upstream.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=write,
            env={**os.environ, "SPIRITSAFE_LOG_LEVEL": "debug"},
        )
        os.close(write)
        assert process.stdout is not None
        port = int((await process.stdout.readline()).rpartition(b":")[2])
        for _ in range(20):
            assert 200 == await asked(port)
        async with RawClient.connect(port) as client:
            await client.send(b"no request at all\r\n\r\n")
            assert 400 == (await client.head())[0]
        process.terminate()
        await process.stdout.read()
        assert 0 == await process.wait()
    if how == "full":
        os.close(read)


async def test_f73_it_starts_without_home_locale_or_temporary_folder(
    tmp_path: Path,
) -> None:
    """In the C locale too a sentence in any language is kept as it is."""
    db = tmp_path / "s.db"
    keep = ("PATH", "PYTHONPATH")
    names = " ".join(f"-u {name}" for name in os.environ if name not in keep)
    bare = f'exec env {names} LC_ALL=C LANG=C TMPDIR=/nowhere "$0" "$@"'
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "žluť 黄"}]}
    )
    async with (
        scripted_upstream(plain) as upstream,
        serving(db, upstream.url, command=("/bin/sh", "-c", bare, *COMMAND)) as running,
        RawClient.connect(running.port) as client,
    ):
        await client.post(PATH, body.encode())
        assert 200 == (await client.head())[0]
        await stopped(running)
    with open_library(db) as library:
        (row,) = library.rows()
        assert "žluť 黄" == row.prompt_preview
