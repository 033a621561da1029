"""Rounds with a disk that fails: at the Nth call, from then on, or full.

Faults are injected by strace into the running program, once it is up; a full disk is a
small file system of its own. Each round ends with a program that was not restarted and
is well again, then with its end, by SIGTERM or by a kill, at times while the fault is on.
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from storage.room import free_bytes
from tests.crash.load import LOST, World
from tests.crash.running import until
from tests.living import RawClient
from tests.scripted_upstream import scripted_upstream
from tests.torture.nursery import Child
from tests.torture.stage import Stage, recovery_s

LANES = 12
FAULTY_S = 1.2
WELL_S = 30.0
MIB = 1024 * 1024

SMALL_DISK_BYTES = 24 * MIB
LIMITS = {
    "SPIRITSAFE_RESERVE_BYTES": str(MIB),
    "SPIRITSAFE_MAX_SPOOL_BYTES": str(4 * MIB),
    "SPIRITSAFE_MAX_QUEUE_BYTES": str(2 * MIB),
    "SPIRITSAFE_HOLD_TIMEOUT_S": "1",
}


class Fault(NamedTuple):
    """One way for a call to fail.

    Shapes: `calls` as strace takes them; `nth` counts in each thread anew; with `lasts`
    every later call fails too. Without `all_files` only the database's own calls do,
    so that the spool works; `closed` is `on_storage_failure`.
    Units: without an `error` the calls take `delay_us` longer, in microseconds.
    """

    calls: str
    error: str
    nth: int = 1
    lasts: bool = False
    all_files: bool = False
    closed: bool = False
    delay_us: int = 0

    @property
    def injected(self) -> str:
        """What strace is told to inject."""
        when = f"{self.nth}+" if self.lasts else f"{self.nth}"
        if self.error == "SIGKILL":
            return f"inject={self.calls}:signal=SIGKILL:when={when}"
        what = f"error={self.error}" if self.error else f"delay_enter={self.delay_us}"
        return f"inject={self.calls}:{what}:when={when}"


SYNC = Fault("fdatasync,fsync", "EIO")
WRITE = Fault("pwrite64", "ENOSPC")
KINDS = (
    SYNC,
    WRITE,
    Fault("pwrite64", "EIO"),
    Fault("pwrite64", "EDQUOT"),
    Fault("pread64", "EIO"),
    Fault("ftruncate", "EIO"),
    Fault("pwrite64", "EINTR"),
    Fault("pwrite64,openat", "EROFS"),
    Fault("pwrite64,openat", "EACCES"),
    Fault("fdatasync,openat", "EMFILE"),
    Fault("fdatasync,openat", "ENOENT"),
)


def without_strace() -> str | None:
    """Return why this machine cannot inject faults into a process, or None."""
    if shutil.which("strace") is None:
        return "no strace"
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() and scope.exists() and scope.read_text().strip() != "0":
        return "ptrace is for root only here"
    return None


def without_mounts() -> str | None:
    """Return why this machine cannot mount a small disk, or None."""
    if os.geteuid():
        return "not root"
    told = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return None if told.returncode == 0 else "no mounting here"


async def failing_calls(stage: Stage) -> None:
    """Any call of the database or of all files fails, once or on and on (F-10..F-14)."""
    choose = stage.random
    kind = choose.choice(KINDS)
    await at_call(
        stage,
        kind._replace(
            nth=choose.randint(1, 40),
            lasts=choose.random() < 0.5,
            all_files="openat" not in kind.calls and choose.random() < 0.5,
            closed=choose.random() < 0.5,
        ),
    )


async def at_call(stage: Stage, fault: Fault, *, killed: bool | None = None) -> None:
    """Load a program while a fault is in it; `killed` says how it ends."""

    async def disturb(child: Child) -> None:
        async with injected(child.pid, fault, stage.db):
            await asyncio.sleep(FAULTY_S)
            # Where nothing can be written, the losses that `fail_open` allows are
            # counted in memory only: no file tells of them after a kill.
            if killed is None and (fault.closed or not fault.all_files):
                await kill_at_times(stage, child)

    await faulty(stage, disturb, closed=fault.closed, killed=killed)


async def every_write(stage: Stage, nth: int) -> None:
    """The disk is full at the Nth write of each thread, whichever file it is of."""
    await at_call(stage, WRITE._replace(nth=nth, all_files=True))


async def every_sync(stage: Stage, nth: int) -> None:
    """The Nth sync of each thread fails."""
    await at_call(stage, SYNC._replace(nth=nth))


async def kill_at_call(stage: Stage) -> None:
    """Killed as it enters its Nth write, sync or truncation (F-02)."""
    calls = stage.random.choice(("pwrite64", "fdatasync", "ftruncate"))
    fault = Fault(calls, "SIGKILL", nth=stage.random.randint(1, 50), all_files=True)

    async def disturb(child: Child) -> None:
        async with injected(child.pid, fault, stage.db):
            await asyncio.sleep(FAULTY_S / 2)
        stage.kills += 1
        await child.kill()  # where it came to no such call

    await faulty(stage, disturb, closed=False)


async def slow_syncs(stage: Stage) -> None:
    """Each sync takes 0.1 to 2 seconds: longer than anybody is held (F-13)."""
    delay_us = stage.random.choice((100_000, 400_000, 2_000_000))
    fault = SYNC._replace(lasts=True, closed=stage.random.random() < 0.5)
    await at_call(stage, fault._replace(error="", delay_us=delay_us), killed=False)


async def limited_files(stage: Stage) -> None:
    """No file may grow, as at `ulimit -f`: EFBIG, and half-written writes (F-14)."""

    async def disturb(child: Child) -> None:
        most = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        wal = stage.db.with_name(f"{stage.db.name}-wal")
        limit = wal.stat().st_size + stage.random.randint(0, 50_000)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (limit, most[1]))
        await asyncio.sleep(FAULTY_S)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, most)

    await faulty(stage, disturb, closed=stage.random.random() < 0.5)


async def full_disk(stage: Stage) -> None:
    """A file system that others fill to the last byte, and then clear (F-11)."""
    closed = stage.random.random() < 0.5
    with small_disk(stage.folder):

        async def disturb(_: Child) -> None:
            filler = stage.folder / "filler"
            with filled(filler):
                await asyncio.sleep(FAULTY_S)

        await faulty(stage, disturb, closed=closed)


async def kill_at_times(stage: Stage, child: Child) -> None:
    """Kill while the fault is on: what was spooled is found by the next start."""
    if stage.random.random() < 0.5:
        stage.kills += 1
        await child.kill()


async def faulty(
    stage: Stage,
    disturb: Callable[[Child], Awaitable[None]],
    *,
    closed: bool,
    killed: bool | None = None,
) -> None:
    """Load, disturb, see it well again without a restart, end it, judge the next run."""
    world = World(stage.seed)
    policy = {
        **LIMITS,
        "SPIRITSAFE_ON_STORAGE_FAILURE": "fail_closed" if closed else "fail_open",
    }
    recoveries, kills = [], stage.kills
    async with scripted_upstream(world.play) as upstream:
        async with stage.serving(upstream.url, variables=policy) as child:
            await world.run(child.port, lambda: disturb(child), lanes=LANES)
            if kills == stage.kills:  # it still lives
                recoveries.append(await recovery_s(child.port, since=time.monotonic()))
                await well(child.port)
                if killed:
                    await child.kill()
                child.tell(signal.SIGTERM)
                await child.ended()
        async with stage.serving(upstream.url, variables=LIMITS):
            await stage.judge(
                world,
                recoveries_s=recoveries,
                recovery_s=10.0,
                fail_open=not closed,
            )
    stage.exchanges += len(world.attempts)


async def well(port: int) -> None:
    """Wait until the program says that storage is well: no restart made it so (C11)."""
    async with asyncio.timeout(WELL_S):
        while await health(port) != "ok":  # noqa: ASYNC110  health wakes nobody
            await asyncio.sleep(0.05)


async def health(port: int) -> str:
    """Return what /healthz says; nothing where the program is gone."""
    with contextlib.suppress(*LOST):
        async with RawClient.connect(port) as client:
            await client.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            _, headers = await client.head()
            return (await client.body(headers)).decode().strip()
    return ""


@contextlib.asynccontextmanager
async def injected(pid: int, fault: Fault, db: Path) -> AsyncIterator[None]:
    """Let calls of a running process fail until the block ends."""
    files = [] if fault.all_files else [db, db.with_name(f"{db.name}-wal")]
    process = await asyncio.create_subprocess_exec(
        *("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={fault.calls}"),
        *("-e", fault.injected),
        *(word for file in files for word in ("-P", str(file))),
        *("-p", str(pid)),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            await until(lambda: traced(pid) or process.returncode is not None)
        assert process.returncode is None, "strace could not attach"
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()


def traced(pid: int) -> bool:
    """Return whether each thread of a process has a tracer."""
    for task in (Path("/proc") / str(pid) / "task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            if "TracerPid:\t0\n" in (task / "status").read_text():
                return False
    return True


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small file system on a folder."""
    size = f"size={SMALL_DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def filled(filler: Path) -> Iterator[None]:
    """Leave not a byte of room where the file is."""
    file = os.open(filler, os.O_RDWR | os.O_CREAT)
    size = 0
    try:
        while left := free_bytes(filler.parent):
            with contextlib.suppress(OSError):  # the program was faster: less is left
                os.posix_fallocate(file, size, left)
            size = os.fstat(file).st_size
        yield
    finally:
        os.close(file)
        filler.unlink()
