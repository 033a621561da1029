"""How much less is captured while somebody pages and searches in the same file."""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ask import HEADERS, body
from drawn import ASK_EVERY_S
from rig import Ask, build, saturate, upstream
from servers import LOAD_CORE, PROXY_CORE, free_port, running

HERE = Path(__file__).parent
BYTES = 1000


def capture(db: Path, wanted: argparse.Namespace) -> dict[str, float]:
    """Record into the file, with a reader and without, in turn; print the ratio."""
    build()
    rates: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(dir=wanted.folder.absolute()) as folder:
        place, port, own = Path(folder), free_port(), free_port()
        serve = [
            str(Path(sys.executable).with_name("spiritsafe")), "serve",
            "--listen", f"127.0.0.1:{own}",
            "--upstream", f"http://127.0.0.1:{port}/v1", "--db", str(db.absolute()),
        ]  # fmt: skip
        with (
            upstream(place, port, answer_bytes=BYTES),
            running(PROXY_CORE, serve, own, log=place / "log"),
        ):
            ask = Ask(own, body(BYTES), HEADERS, place)
            seeds = itertools.count(int(time.time()) % 100_000 * 1000)
            saturate(ask, seconds=1, seed=next(seeds))
            for number in range(2 * wanted.rounds):
                beside = bool(number % 2)
                reader = read_beside(db) if beside else None
                found = saturate(ask, seconds=wanted.seconds, seed=next(seeds))
                rates[beside].append(found["rate"])
                if reader is not None:
                    reader.terminate()
                    reader.wait()
    without, beside_it = (statistics.median(rates[kind]) for kind in (False, True))
    ratio = statistics.median(
        one / other for one, other in zip(rates[True], rates[False], strict=True)
    )
    print(
        f"\ncapture: {without:,.0f} requests/s, beside a reader {beside_it:,.0f}: "
        f"{ratio:.2f} of it ({1 / ASK_EVERY_S:.0f} pages and searches a second)"
    )
    return {"without": without, "beside": beside_it, "ratio": ratio}


def read_beside(db: Path) -> subprocess.Popen[bytes]:
    """Start a reader on the core of the load: the other one is the proxy's."""
    command = ["taskset", "-c", LOAD_CORE, sys.executable, str(HERE / "drawn.py")]
    return subprocess.Popen([*command, str(db)])
