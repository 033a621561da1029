"""The upstream, the load generator and wrk: built, started, and their figures read."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ask import script, whole
from histogram import Histogram
from servers import LOAD_CORE, Server, running

HERE = Path(__file__).parent
BUILT = HERE.parent / ".bench/bin"
CONNECTIONS = 32  # of wrk
MAX_LAG_MS, MAX_CPU_SHARE = 1.0, 0.7  # of the generator, else a run is void


@dataclass(frozen=True)
class Figures:
    """What one run of the load generator counted.

    Shapes: `counts` the plain numbers, `times` the histograms, by the names that
    `loadgen.c` gives them.
    """

    counts: dict[str, float]
    times: dict[str, Histogram]

    @property
    def void(self) -> str:
        """Why the generator's own figures make this run void, or nothing."""
        lag_ms = self.times["lag"].quantile_ms(0.99)
        share = self.counts["cpu_s"] / max(self.counts["wall_s"], 0.001)
        if lag_ms > MAX_LAG_MS:
            return f"requests left late: p99 {lag_ms:.1f} ms"
        if share > MAX_CPU_SHARE:
            return f"the generator took {share:.0%} of its core"
        return ""


def build() -> None:
    """Compile the two programs where they are older than their source."""
    compiler = shutil.which("cc")
    if compiler is None:
        sys.exit("`make bench` compiles its load generator: apt-get install gcc")
    BUILT.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in (HERE / "c").iterdir())
    for name in ("upstream", "loadgen"):
        made = BUILT / name
        if not made.exists() or made.stat().st_mtime < newest:
            source = str(HERE / "c" / f"{name}.c")
            command = [compiler, "-O2", "-Wall", "-o", str(made), source, "-lm"]
            subprocess.run(command, check=True)


@contextlib.contextmanager
def upstream(
    place: Path,
    port: int,
    *,
    answer_bytes: int = 1000,
    events: int = 1,
    rate: float = 1,
    seconds: float = 0,
) -> Iterator[Server]:
    """Run the upstream; with `rate` 0 its streams pour for `seconds`."""
    command = [BUILT / "upstream", port, answer_bytes, events, rate, seconds]
    with running(
        LOAD_CORE, [*map(str, command)], port, log=place / "upstream.log"
    ) as server:
        yield server


@dataclass(frozen=True)
class Ask:
    """One kind of request to one server.

    Shapes: `text` is its body with the place of its number.
    """

    port: int
    text: str
    headers: dict[str, str]
    place: Path


def load(
    ask: Ask,
    *,
    rate: float,
    seconds: float,
    seed: int,
    streams: int = 0,
    cancel_share: float = 0.0,
    timeout_s: float = 10.0,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> Figures:
    """Run the load generator once, and show its progress to whoever asks."""
    path = ask.place / "request"
    path.write_bytes(whole(ask.text, ask.headers))
    words = [
        ask.port, path, rate, seconds, streams, cancel_share, timeout_s, seed
    ]  # fmt: skip
    command = ["taskset", "-c", LOAD_CORE, BUILT / "loadgen", *words]
    out = ask.place / "figures"
    with out.open("wb") as file:
        process = subprocess.Popen(
            [*map(str, command)], stdout=file, stderr=subprocess.PIPE, text=True
        )
    said = ""
    with process:
        for line in process.stderr or ():
            said = line
            if line.startswith("{") and progress is not None:
                progress(json.loads(line))
    if process.returncode:
        sys.exit(f"the load generator failed: {said}")
    told = json.loads(out.read_text())
    return Figures(
        {k: v for k, v in told.items() if not isinstance(v, list)},
        {k: Histogram(dict(v)) for k, v in told.items() if isinstance(v, list)},
    )


def saturate(ask: Ask, *, seconds: float, seed: int) -> dict[str, float]:
    """Run wrk, a closed loop; return requests per second and how many failed."""
    path = script(ask.place, ask.text, ask.headers, seed=seed)
    out = subprocess.run(
        ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{CONNECTIONS}",
         f"-d{seconds:g}", "-s", str(path), f"http://127.0.0.1:{ask.port}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+)", out)
    return {
        "rate": float(rate.group(1)) if rate else 0.0,
        "failed": float(failed.group(1) if failed else 0)
        + sum(map(int, errors.groups()) if errors else ()),
    }
