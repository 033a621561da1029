"""What a contestant takes while nothing happens, and what it leaves on disk."""

import http.client
import json
import statistics
import time
from pathlib import Path

import zstandard
from ask import HEADERS, prose
from stage import Bench, stage

TURNS = 50
SETTLE_S = 0.5
FILES = {"spiritsafe": "durable.db", "mitmdump": "mitmdump.flows"}


def idle(bench: Bench) -> None:
    """Measure time to start and resident size, each alone; ours is started thrice."""
    for peer in bench.peers():
        starts, sizes = [], []
        for _ in range(3 if peer.name in {"nginx", "spiritsafe", "relaxed"} else 1):
            with stage(bench, "idle", peers=(peer,)) as on:
                if peer.name not in on.servers:
                    break
                server = on.servers[peer.name]
                time.sleep(SETTLE_S)  # nothing says when a program is at rest
                starts.append(server.start_s)
                sizes.append(server.resident_bytes() / 2**20)
        if starts:
            bench.found(
                "idle",
                peer.name,
                start_s=statistics.median(starts),
                resident_mib=statistics.median(sizes),
            )


def disk(bench: Bench) -> None:
    """Measure what conversations of 50 turns leave on disk, told whole every turn."""
    for scenario, size in (("disk", 4000), ("disk short", 600)):
        chosen = tuple(peer for peer in bench.peers() if peer.name in FILES)
        with stage(bench, scenario, peers=chosen, answer_bytes=size + 420) as on:
            for name, server in on.servers.items():
                path = on.place / FILES[name]
                before = _size(path)
                unique = _converse(server.port, size)
                server.process.terminate()  # what waits in memory is written
                server.process.wait(20)
                grown = _size(path) - before
                packed = sum(len(zstandard.compress(it, 3)) for it in unique)
                bench.found(
                    scenario,
                    name,
                    kib_per_turn=grown / TURNS / 1024,
                    of_unique=grown / packed,
                )


def _converse(port: int, size: int) -> set[bytes]:
    """Talk for 50 turns; return each different message and answer.

    The client cannot choose the answer, so it sends another in its place, of prose.
    """
    messages = [{"role": "system", "content": "You answer in one paragraph."}]
    unique = {json.dumps(messages[0]).encode()}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for turn in range(TURNS):
        messages.append({"role": "user", "content": prose(2 * turn, size)})
        asked = json.dumps({"messages": messages, "model": "m-1"})
        connection.request("POST", "/v1/chat/completions", asked, HEADERS)
        unique |= {connection.getresponse().read(), messages[-1]["content"].encode()}
        messages.append({"role": "assistant", "content": prose(2 * turn + 1, size)})
        unique.add(messages[-1]["content"].encode())
    connection.close()
    return unique


def _size(path: Path) -> int:
    """Return the bytes of a file and its write-ahead log."""
    sides = (path, path.with_name(path.name + "-wal"))
    return sum(side.stat().st_size for side in sides if side.exists())
