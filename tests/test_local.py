"""P7 from outside: one process, and no socket but its listener and its upstream."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.crash.running import serving
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Wire,
    completion,
    scripted_upstream,
)

NETWORK = ("tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "icmp6")
PAIR = "unix"  # without a name: one end of a pair that wakes the event loop

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="/proc is Linux's"),
]


class Open(NamedTuple):
    """One open socket of a process."""

    kind: str
    local: int = 0
    remote: int = 0


def inodes(process: Path) -> Iterator[str]:
    """Yield the inode of each socket that a process holds."""
    for link in (process / "fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def known(process: Path) -> dict[str, Open]:
    """Return the sockets of a process's network namespace by their inode."""
    found = {}
    for kind in NETWORK:
        table = process / "net" / kind
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, remote, *rest = line.split()
            ports = (int(address.rpartition(":")[2], 16) for address in (local, remote))
            found[rest[6]] = Open(kind, *ports)
    for line in (process / "net/unix").read_text().splitlines()[1:]:
        *_, inode = words = line.split(maxsplit=7)[:7]
        named = len(line.split(maxsplit=7)) > len(words)
        found[inode] = Open("named unix" if named else PAIR)
    return found


def sockets(pid: int) -> set[Open]:
    """Return the open sockets of a process; `other` where no table tells the kind."""
    process = Path(f"/proc/{pid}")
    held = set(inodes(process))
    table = known(process)
    return {table.get(inode, Open("other")) for inode in held} - {Open(PAIR)}


def children(pid: int) -> str:
    """Return the process ids of its children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return "".join((task / "children").read_text() for task in tasks)


def foreign(pid: int, *, port: int, upstream: int) -> list[Open]:
    """Return the sockets that are neither the listener's nor the upstream's."""
    return [
        one
        for one in sockets(pid)
        if one.kind != "tcp" or (one.local != port and one.remote != upstream)
    ]


# At debug level /proc shows us the process where we are not root (S-07).
READABLE = {"SPIRITSAFE_LOG_LEVEL": "debug"}


async def test_p7_a_serving_process_talks_to_its_upstream_only(tmp_path: Path) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        reached.set()
        await go_on.wait()
        await wire.answer(completion())

    async with (
        scripted_upstream(script) as upstream,
        serving(tmp_path / "s.db", upstream.url, variables=READABLE) as running,
    ):
        pid, away = running.process.pid, int(upstream.url.split(":")[2].split("/")[0])
        assert {Open("tcp", running.port)} == sockets(pid)
        async with RawClient.connect(running.port) as client:
            await client.post("/v1/chat/completions", CHAT)
            await reached.wait()
            assert away in {one.remote for one in sockets(pid)}
            assert [] == foreign(pid, port=running.port, upstream=away)
            go_on.set()
            _, headers = await client.head()
            await client.body(headers)
            assert [] == foreign(pid, port=running.port, upstream=away)
        assert "" == children(pid)


def test_a_socket_of_any_kind_is_seen(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX) as named,
    ):
        datagrams.bind(("127.0.0.1", 0))
        named.bind(str(tmp_path / "s"))
        found = sockets(os.getpid())
        assert Open("udp", datagrams.getsockname()[1]) in found
        assert Open("named unix") in found
