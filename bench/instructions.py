"""Counts what an exchange takes in instructions, thread by thread.

Times of two versions differ by a third from hour to hour on a shared machine, their
instructions by one in a hundred, whatever else runs. What the kernel does, and waiting,
is not in them: they tell whether a change was one, `make bench` what it is worth.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from ask import body
from rig import Ask, build, saturate, upstream
from servers import PROXY_CORE, free_port, running

ROOT = Path(__file__).resolve().parent.parent
ANSWER_BYTES = REQUEST_BYTES = 1000
WARM_S = 4.0  # at a fiftieth of its speed
THREADS = {"01": "loop", "03": "writer", "05": "indexer"}  # in the order of starting
START = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from proxy.cli import main
sys.exit(main())
"""


def count(tree: Path, place: Path, *, seconds: float) -> dict[str, float]:
    """Return the instructions of one exchange by thread, of the source in one tree."""
    port, behind = free_port(), free_port()
    counted = place / "counted"
    command = [
        "valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
        f"--callgrind-out-file={counted}", sys.executable, "-c", START, str(tree),
        "serve", "--listen", f"127.0.0.1:{port}", "--db", str(place / "a.db"),
        "--upstream", f"http://127.0.0.1:{behind}/v1",
    ]  # fmt: skip
    with (
        upstream(place, behind, answer_bytes=ANSWER_BYTES),
        running(PROXY_CORE, command, port, log=place / "log") as server,
    ):
        ask = Ask(port, body(REQUEST_BYTES), {}, place)
        saturate(ask, seconds=WARM_S, seed=1)
        time.sleep(1)  # the indexer catches up
        before = accepted(port)
        instrument(server.process.pid, "on")
        saturate(ask, seconds=seconds, seed=2)
        instrument(server.process.pid, "off")
        exchanges = accepted(port) - before
    found = {}
    for number, thread in THREADS.items():
        total = re.search(
            r"^totals: (\d+)", Path(f"{counted}-{number}").read_text(), re.MULTILINE
        )
        found[thread] = int(total.group(1)) / exchanges if total else 0.0
    return found | {"all": sum(found.values()), "exchanges": exchanges}


def accepted(port: int) -> int:
    """Return how many exchanges a server has accepted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    told = re.search(r"^spiritsafe_exchanges_accepted_total (\d+)", text, re.MULTILINE)
    return int(told.group(1)) if told else 0


def instrument(process: int, state: str) -> None:
    """Begin or end counting."""
    command = ["callgrind_control", "-i", state, str(process)]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Count for each tree, and say it in a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", nargs="*", type=Path, default=[ROOT])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    for needed in ("valgrind", "wrk", "taskset", "cc"):
        if shutil.which(needed) is None:
            sys.exit(f"{needed} is needed here, and not installed")
    os.environ["PYTHONHASHSEED"] = "0"
    build()
    for tree in options.trees:
        with tempfile.TemporaryDirectory() as place:
            told = count(tree.resolve(), Path(place), seconds=options.seconds)
        parts = ", ".join(
            f"{name} {told[name] / 1000:.0f}" for name in THREADS.values()
        )
        print(
            f"{tree}: {told['all'] / 1000:.0f} thousand an exchange"
            f" ({parts}; {told['exchanges']:.0f} exchanges)",
            flush=True,
        )


if __name__ == "__main__":
    main()
