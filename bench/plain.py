"""Plain calls: requests a second at saturation, and added time at low and half load."""

import statistics

from histogram import merged
from rig import Figures, load, saturate
from stage import DIRECT, Bench, Stage, stage

LOW_RATE = 100.0  # a second; a tenth of its knee for who is slower than that tenfold
HALF = 0.5


def unary(bench: Bench) -> None:
    """Measure calls and answers of about 1 kB."""
    _plain(bench, "unary", 1000, loads=("low", "half"))


def large(bench: Bench) -> None:
    """Measure calls of 100 kB, forty messages of which the last is new, and answers."""
    _plain(bench, "large", 100_000, loads=("low",))


def _plain(bench: Bench, scenario: str, size: int, *, loads: tuple[str, ...]) -> None:
    with stage(bench, scenario, answer_bytes=size) as on:
        rates = _saturation(bench, on, scenario, size)
        for name in on.servers:
            knee = rates[name]
            if not knee:
                continue
            if "low" in loads:
                low = min(LOW_RATE, knee / 10)
                _added(bench, on, f"{scenario} low", name, size=size, rate=low)
            if "half" in loads:
                half = knee * HALF
                _added(bench, on, f"{scenario} half", name, size=size, rate=half)


def _saturation(bench: Bench, on: Stage, scenario: str, size: int) -> dict[str, float]:
    """Let wrk visit everybody in turn; the ratio to nginx is taken round by round."""
    options, rounds = bench.options, {}
    names = (DIRECT, *on.servers)
    for name in names:  # warm-up
        bench.say(f"{scenario:8} {name}: warm-up", passing=True)
        saturate(on.ask(name, size), seconds=1, seed=next(bench.seeds))
        rounds[name] = []
    for number in range(options.rounds):
        for name in names:
            bench.say(f"{scenario:8} {name}: round {number + 1}", passing=True)
            seed = next(bench.seeds)
            ask = on.ask(name, size)
            rounds[name].append(saturate(ask, seconds=options.seconds, seed=seed))
    middle = {}
    for name, rows in rounds.items():
        rates = [row["rate"] for row in rows]
        middle[name] = statistics.median(rates)
        figures = {"rate": middle[name], "failed": sum(row["failed"] for row in rows)}
        if "nginx" in rounds:
            plain = [row["rate"] for row in rounds["nginx"]]
            ratios = sorted(a / max(b, 1e-9) for a, b in zip(rates, plain, strict=True))
            figures |= {
                "of_nginx": statistics.median(ratios),
                "of_nginx_least": ratios[0],
                "of_nginx_most": ratios[-1],
            }
        bench.found(scenario, name, **figures)
    return middle


def _added(
    bench: Bench, on: Stage, scenario: str, name: str, *, size: int, rate: float
) -> None:
    """Compare open-loop latency with the direct way, at one rate and in turn."""
    runs: dict[str, list[Figures]] = {DIRECT: [], name: []}
    for number in range(bench.options.rounds):
        for who in (DIRECT, name):
            bench.say(f"{scenario:8} {name}: round {number + 1}, {who}", passing=True)
            ask, seed = on.ask(who, size), next(bench.seeds)
            runs[who].append(
                load(ask, rate=rate, seconds=bench.options.seconds, seed=seed)
            )
    times = {
        who: merged(run.times["latency"] for run in its) for who, its in runs.items()
    }
    void = next((run.void for its in runs.values() for run in its if run.void), "")
    figures = {
        f"{kind}_{label}": whole
        for q, label in ((0.5, "p50_ms"), (0.99, "p99_ms"))
        for here, past in [(times[name].quantile_ms(q), times[DIRECT].quantile_ms(q))]
        for kind, whole in (("added", here - past), ("direct", past))
    }
    failed = sum(run.counts["failed"] for run in runs[name])
    note = f"VOID: {void}" if void else ""
    bench.found(scenario, name, note, rate=rate, failed=failed, **figures)
