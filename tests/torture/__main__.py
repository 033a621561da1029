"""`make torture`: the flags, the table, the exit code."""

import argparse
import asyncio
import re
import secrets
import sys
from collections.abc import Sequence

import uvloop
from rich.console import Console
from rich.table import Table

from tests.torture.registry import ROUNDS, SWEEP
from tests.torture.run import Budget, Report, Torture

UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """Return the seconds of `90s`, `5m` or `2h`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{text}': write it like 90s, 5m or 2h")
    return float(found[1]) * UNITS[found[2]]


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument(
        "--budget", type=seconds, help="how long: 90s, 5m (default), 2h"
    )
    parser.add_argument("--kills", type=int, help="stop after so many kills instead")
    parser.add_argument("--seed", type=int, help="repeat a run's order of rounds")
    parser.add_argument(
        "--round-seed", type=int, help="play each round once, so seeded"
    )
    parser.add_argument("--only", help="rounds whose name contains this")
    parser.add_argument(
        "--side-by-side", type=int, default=2, help="rounds at a time, on own files"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="fail each of 40 writes and 40 syncs, once"
    )
    parser.add_argument("--list", action="store_true", help="the rounds, and no run")
    return parser.parse_args(arguments)


def table(report: Report) -> Table:
    """Return the final table."""
    made = Table(title=f"torture, seed {report.seed}")
    for name in ("round", "played", "failed", "kills", "exchanges", "seconds"):
        made.add_column(name, justify="left" if name == "round" else "right")
    for name, tally in report.tallies.items():
        numbers = (tally.played, tally.failed, tally.kills, tally.exchanges)
        made.add_row(name, *map(str, numbers), f"{tally.seconds:.0f}")
    for name, why in report.skipped.items():
        made.add_row(name, f"SKIPPED: {why}")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run; return 0 where nothing was found, 1 where something was, 2 for usage."""
    flags = parsed(arguments)
    out = Console(highlight=False, markup=False, soft_wrap=True)
    offered = SWEEP if flags.sweep else ROUNDS
    rounds = [one for one in offered if (flags.only or "") in one.name]
    if flags.list or not rounds:
        for one in ROUNDS:
            out.print(f"{one.name:24} {one.ids:12} {one.play.__doc__}")
        return 0 if flags.list else 2
    seed = secrets.randbelow(1_000_000) if flags.seed is None else flags.seed
    out.print(f"seed {seed}: repeat with --seed {seed}")
    torture = Torture(rounds, seed=seed, say=out.print)
    endless = float("inf")
    default_s = endless if flags.kills else 300.0
    budget = Budget(
        seconds=endless if flags.sweep else flags.budget or default_s,
        kills=flags.kills,
        once=flags.sweep or flags.round_seed is not None,
        seed=flags.round_seed,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(torture.run(budget, side_by_side=flags.side_by_side))
    out.print(table(report))
    for failure in report.failures:
        out.print(failure)
    if not report.tallies:
        out.print("nothing was played")
    return 1 if report.failures or not report.tallies else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
