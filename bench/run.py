"""`make bench`: the proxy beside its peers on the same work, and what it missed."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import plain
import rest
import soak
import streams
from rig import build
from stage import Bench, needed
from table import machine, show

SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "idle": rest.idle,
    "unary": plain.unary,
    "large": plain.large,
    "streams": streams.lively,
    "flood": streams.flood,
    "crowd": streams.crowd,
    "disk": rest.disk,
    "soak": soak.soak,
}
LEFT_OUT = {"soak"}  # of a run that does not name it: it alone takes six minutes


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SCENARIOS, default=[], help="these scenarios"
    )
    parser.add_argument(
        "--peers", nargs="+", default=[], metavar="NAME", help="these contestants"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, help="of one visit, 3; of the soak, 300"
    )
    parser.add_argument("--json", type=Path, default=Path(".bench/figures.json"))
    parser.add_argument(
        "--folder", help="where the files lie: a disk that really flushes"
    )
    asked = parser.parse_args()
    asked.soak_seconds = asked.seconds or 300.0
    asked.seconds = asked.seconds or 3.0
    return asked


def main() -> None:
    """Run the scenarios, print the table, write the JSON."""
    bench = Bench(options())
    needed(bench)
    build()
    began = time.monotonic()
    chosen = bench.options.only or [it for it in SCENARIOS if it not in LEFT_OUT]
    try:
        for name in chosen:
            bench.say(f"== {name}")
            SCENARIOS[name](bench)
    finally:  # what was found before an interruption is shown, too
        bench.say(f"== {time.monotonic() - began:.0f} s")
        print(show(bench.facts))
        bench.options.json.parent.mkdir(parents=True, exist_ok=True)
        bench.options.json.write_text(
            json.dumps({"machine": machine(), "facts": bench.as_json()}, indent=1)
        )


if __name__ == "__main__":
    main()
