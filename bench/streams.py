"""Event streams: a hundred lively ones, some at full speed, five thousand at once."""

from histogram import Histogram
from rig import Figures, load
from stage import DIRECT, Bench, Stage, stage

LIVELY, LIVELY_RATE = 100, 50.0
FLOODS, FLOOD_S = 8, 4.0
CROWD, RAMP_RATE = 5000, 500.0
PATIENCE_S = 20.0


def lively(bench: Bench) -> None:
    """Measure 100 streams of 50 events a second."""
    seconds = bench.options.seconds
    count = int((seconds + 2) * LIVELY_RATE)
    with stage(bench, "streams", events=count, rate=LIVELY_RATE) as on:
        direct = None
        for name in (DIRECT, *on.servers):
            if _cannot(bench, on, "streams", name):
                continue
            ask, seed = on.ask(name, 1000, stream=True), next(bench.seeds)
            bench.say(f"streams  {name}", passing=True)
            run = load(
                ask,
                rate=LIVELY,
                seconds=seconds,
                seed=seed,
                streams=LIVELY,
                timeout_s=PATIENCE_S,
            )
            direct = direct or run
            bench.found("streams", name, _note(run), **delays(run, direct))


def flood(bench: Bench) -> None:
    """Measure 8 streams whose upstream sends as fast as it is read."""
    with stage(bench, "flood", rate=0, seconds=FLOOD_S) as on:
        for name in (DIRECT, *on.servers):
            if _cannot(bench, on, "flood", name):
                continue
            ask, seed = on.ask(name, 1000, stream=True), next(bench.seeds)
            bench.say(f"flood    {name}", passing=True)
            run = load(
                ask,
                rate=1000,
                seconds=FLOOD_S,
                seed=seed,
                streams=FLOODS,
                timeout_s=PATIENCE_S,
            )
            per_s = run.counts["events"] / run.counts["wall_s"]
            dropped = run.counts["failed"]  # late ones among them
            bench.found("flood", name, events_per_s=per_s, dropped=dropped)


def crowd(bench: Bench) -> None:
    """Measure 5 000 streams of an event a second, each contestant alone and fresh."""
    seconds = max(bench.options.seconds * 4, 5)
    direct: Figures | None = None
    for name in (DIRECT, *(peer.name for peer in bench.peers())):
        chosen = tuple(peer for peer in bench.peers() if peer.name == name)
        count = int(CROWD / RAMP_RATE + seconds + 2)
        with stage(bench, "crowd", peers=chosen, events=count, rate=1) as on:
            if name != DIRECT and name not in on.servers:
                continue
            if _cannot(bench, on, "crowd", name):
                continue
            run, memory = watched(bench, on, name, seconds=seconds)
        direct = direct or run
        figures = delays(run, direct)
        if memory:
            figures["kib_per_stream"] = memory / CROWD / 1024
        bench.found("crowd", name, _note(run), **figures)


def watched(
    bench: Bench,
    on: Stage,
    name: str,
    *,
    seconds: float,
    cancel_share: float = 0.0,
    patience_s: float = PATIENCE_S,
) -> tuple[Figures, int]:
    """Run a crowd; return its figures and the bytes it added while it was whole."""
    server = on.servers.get(name)
    before = server.resident_bytes() if server else 0
    grown = 0

    def look(now: dict[str, float]) -> None:
        nonlocal grown
        if server and now["steady"]:
            grown = max(grown, server.resident_bytes() - before)
        told = f"{now['open']:.0f} open, {now['failed']:.0f} failed"
        scenario = "soak" if cancel_share else "crowd"
        bench.say(f"{scenario:8} {name}: {now['at_s']:.0f} s, {told}", passing=True)

    run = load(
        on.ask(name, 1000, stream=True),
        rate=RAMP_RATE,
        seconds=seconds,
        seed=next(bench.seeds),
        streams=CROWD,
        cancel_share=cancel_share,
        timeout_s=patience_s,
        progress=look,
    )
    return run, grown


def delays(run: Figures, direct: Figures) -> dict[str, float]:
    """Return what a run of streams tells, beside the direct one."""

    def added(what: str, share: float) -> float:
        here, past = run.times.get(what), direct.times.get(what)
        return _quantile(here, share) - _quantile(past, share)

    return {
        "whole": run.counts["done"],
        "dropped": run.counts["failed"],
        "first_event_p50_ms": added("first_event", 0.5),
        "first_event_p99_ms": added("first_event", 0.99),
        "delay_p50_ms": added("delay", 0.5),
        "delay_p99_ms": added("delay", 0.99),
        "ramp_delay_p99_ms": added("ramp_delay", 0.99),
        "end_p99_ms": added("tail", 0.99),
    }


def _quantile(times: Histogram | None, share: float) -> float:
    return times.quantile_ms(share) if times else float("nan")


def _note(run: Figures) -> str:
    if not run.counts["all_open"]:
        return "never all open"
    return f"VOID: {run.void}" if run.void else ""


def _cannot(bench: Bench, on: Stage, scenario: str, name: str) -> bool:
    """Say, where it is so, that this contestant does not stream."""
    why = on.peers[name].no_streams if name in on.peers else ""
    if why:
        bench.say(f"{scenario:8} {name}: left out, it {why}")
    return bool(why)
