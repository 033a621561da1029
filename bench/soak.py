"""Five thousand streams held for minutes, a third of them cut off: nothing is left."""

import time
import urllib.request
from pathlib import Path

from peers import SPIRITSAFE
from servers import Server
from stage import Bench, stage
from streams import CROWD, RAMP_RATE, watched

CANCELLED = 0.3
AFTER_CANCEL_S = 15  # how long the streams that stay go on
LEAVE_S = 5.0  # after which the proxy stops reading for a client that left
QUIET_S = 60.0  # in which everything has to come back (reliability 6.3)

AT_REST = (
    "spiritsafe_exchanges_in_flight",
    "spiritsafe_recorder_queue_bytes",
    "spiritsafe_client_connections",
    "spiritsafe_upstream_connections",
    "spiritsafe_upstream_waiting",
    "spiritsafe_tasks",
)


def soak(bench: Bench) -> None:
    """Hold the crowd, cancel 30 % at random, and look for what did not come back."""
    seconds = bench.options.soak_seconds
    count = int(CROWD / RAMP_RATE + seconds + AFTER_CANCEL_S)
    env = {"SPIRITSAFE_FINISH_AFTER_CLIENT_LEFT_S": str(LEAVE_S)}
    with stage(bench, "soak", peers=(SPIRITSAFE,), env=env, events=count, rate=1) as on:
        server = on.servers[SPIRITSAFE.name]
        before = _held(server)
        began_cpu_s = server.cpu_s()
        run, grown = watched(
            bench,
            on,
            SPIRITSAFE.name,
            seconds=seconds,
            cancel_share=CANCELLED,
            patience_s=60.0,
        )
        cpu_share = (server.cpu_s() - began_cpu_s) / run.counts["wall_s"]
        after = _settled(server, before)
        kept = (on.place / "durable.db").stat().st_size
        log = _complaints(on.place / "spiritsafe.log")
        resident = server.resident_bytes()
    left = {name: after[name] - before[name] for name in before}
    bench.found(
        "soak",
        SPIRITSAFE.name,
        f"VOID: {run.void}" if run.void else "",
        seconds=seconds,
        whole=run.counts["done"],
        cancelled=run.counts["cancelled"],
        dropped=run.counts["failed"],
        first_event_p50_ms=run.times["first_event"].quantile_ms(0.5),
        first_event_p99_ms=run.times["first_event"].quantile_ms(0.99),
        delay_p50_ms=run.times["delay"].quantile_ms(0.5),
        delay_p99_ms=run.times["delay"].quantile_ms(0.99),
        stall_p99_ms=run.times["stall"].quantile_ms(0.99),
        kib_per_stream=grown / CROWD / 1024,
        resident_after_mib=resident / 2**20,
        cpu_share=cpu_share,
        disk_mib=kept / 2**20,
        complaints=len(log),
        **{f"left_{name.removeprefix('spiritsafe_')}": n for name, n in left.items()},
    )
    for line in log[:5]:
        bench.say(f"soak     it said: {line}")


def gauges(port: int) -> dict[str, float]:
    """Return every metric of a proxy, its labels summed up."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            name = name.split("{")[0]
            found[name] = found.get(name, 0) + float(value)
    return found


def _held(server: Server) -> dict[str, float]:
    """Return what the server holds now, by its gauges and by /proc."""
    told = gauges(server.port)
    return {name: told[name] for name in AT_REST if name in told} | {
        "descriptors": len(server.descriptors())
    }


def _settled(server: Server, before: dict[str, float]) -> dict[str, float]:
    """Return what is held once that is no more than before, or at the deadline."""
    deadline = time.monotonic() + QUIET_S
    while True:
        now = _held(server)
        if all(now[name] <= before[name] for name in before):
            return now
        if time.monotonic() > deadline:
            return now
        time.sleep(1)


def _complaints(log: Path) -> list[str]:
    """Return what a server wrote about errors."""
    words = ("Traceback", "ERROR", "WARNING", "was destroyed", "never retrieved")
    lines = log.read_text(errors="replace").splitlines()
    return [line for line in lines if any(word in line for word in words)]
