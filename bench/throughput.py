"""Unary throughput: the proxy against nginx as plain reverse proxy, in one run.

Each runs on core 0 while wrk and the upstream (nginx, answering from memory) share
core 1; they take turns, so that a noisy machine is noisy for all. Prints a table and
writes JSON. Needs nginx and wrk on the PATH.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROXY_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 32
KEEP = "keepalive_requests 100000000; access_log off; client_body_buffer_size 256k;"

SENTENCE = (
    "The spirit safe is the locked glass case through which every drop of the "
    "distillery runs, so that it is watched, measured and cut, and nobody touches it. "
)


def answer(size: int) -> str:
    """Return a chat completion of about `size` bytes."""
    text = (SENTENCE * (size // len(SENTENCE) + 1))[: max(size - 420, 10)]
    return json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1760000000,
            "model": "m-1-2026-01-01",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 42,
                "completion_tokens": 80,
                "total_tokens": 122,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": "fp_1",
        },
        separators=(",", ":"),
    )


WRK = """
local n = 0
local thread = math.random(1, 1000000)
function request()
  n = n + 1
  local body = '{"messages":[{"role":"system","content":"You are a helpful assistant.'
    .. ' You answer in one paragraph."},{"role":"user","content":"Question ' .. n
    .. ': what is a spirit safe, and why locked?"}],"model":"m-1","temperature":0.2}'
  return wrk.format("POST", "/v1/chat/completions", {
    ["content-type"] = "application/json", ["accept"] = "application/json",
    ["authorization"] = "Bearer sk-bench", ["user-agent"] = "OpenAI/Python 3.3.1",
    ["accept-encoding"] = "gzip, deflate", ["x-stainless-lang"] = "python",
    ["x-stainless-os"] = "Linux", ["x-stainless-retry-count"] = "0",
  }, body)
end
"""


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Return when something listens on a port."""
    for _ in range(200):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        time.sleep(0.05)
    sys.exit(f"nothing came up on port {port}")


@contextlib.contextmanager
def running(core: str, *command: str, port: int, log: Path) -> Iterator[None]:
    """Run a server on one core until the block ends; end it by its process id."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            ["taskset", "-c", core, *command], stdout=out, stderr=out
        )
    try:
        wait_for(port)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def nginx(place: Path, name: str, server: str, extra: str = "") -> list[str]:
    """Write an nginx configuration and return the command that runs it."""
    temporary = " ".join(
        f"{kind}_temp_path {place}/{name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = place / f"{name}.conf"
    path.write_text(
        f"worker_processes 1; daemon off; pid {place}/{name}.pid;"
        f" error_log {place}/{name}.err; events {{ worker_connections 8192; }}"
        f" http {{ {KEEP} {temporary} {extra} server {{ {server} }} }}"
    )
    return [shutil.which("nginx") or "nginx", "-c", str(path)]


def load(port: int, script: Path, seconds: int, connections: int) -> dict[str, float]:
    """Run wrk once; return requests per second, latencies in ms, and failures."""
    out = subprocess.run(
        ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}",
         "--latency", "-s", str(script), f"http://127.0.0.1:{port}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+)", out)
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}
    p = {
        f"p{q}": float(value) * unit[u]
        for q, value, u in re.findall(r"\s(50|99)%\s+([\d.]+)(us|ms|s)", out)
    }
    return {
        "rate": float(rate.group(1)) if rate else 0.0,
        "failed": float(failed.group(1) if failed else 0)
        + sum(map(int, errors.groups()) if errors else ()),
        **p,
    }


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--answer-bytes", type=int, default=800)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--relaxed", action="store_true", help="relaxed durability")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    for tool in ("nginx", "wrk", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"`make bench` needs {tool}: apt-get install nginx-light wrk")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        figures = compare(place, options)
    report(figures, options)


def compare(
    place: Path, options: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Start all servers and let wrk visit them in turn."""
    up, plain, ours = free_port(), free_port(), free_port()
    script = place / "chat.lua"
    script.write_text(WRK)
    upstream = nginx(
        place, "upstream",
        f"listen 127.0.0.1:{up}; location / {{ default_type application/json;"
        f" return 200 '{answer(options.answer_bytes)}'; }}",
    )  # fmt: skip
    proxy = nginx(
        place, "plain",
        f"listen 127.0.0.1:{plain}; location / {{ proxy_pass http://u;"
        ' proxy_http_version 1.1; proxy_set_header Connection ""; }',
        f"upstream u {{ server 127.0.0.1:{up}; keepalive 128;"
        " keepalive_requests 100000000; }",
    )  # fmt: skip
    spiritsafe = [
        str(ROOT / ".venv/bin/spiritsafe"), "serve", "--listen", f"127.0.0.1:{ours}",
        "--upstream", f"http://127.0.0.1:{up}/v1", "--db", str(place / "bench.db"),
        "--tag", "env=bench",
        "--durability", "relaxed" if options.relaxed else "durable",
    ]  # fmt: skip
    log = place / "log"
    figures: dict[str, list[dict[str, float]]] = {"nginx": [], "spiritsafe": []}
    with (
        running(LOAD_CORE, *upstream, port=up, log=log),
        running(PROXY_CORE, *proxy, port=plain, log=log),
        running(PROXY_CORE, *spiritsafe, port=ours, log=log),
    ):
        load(ours, script, 2, options.connections)  # warm-up
        for _ in range(options.rounds):
            for name, port in (("nginx", plain), ("spiritsafe", ours)):
                figures[name].append(
                    load(port, script, options.seconds, options.connections)
                )
    return figures


def report(
    figures: dict[str, list[dict[str, float]]], options: argparse.Namespace
) -> None:
    """Print the table, and write the JSON that was asked for."""
    ratios = [
        ours["rate"] / plain["rate"]
        for ours, plain in zip(figures["spiritsafe"], figures["nginx"], strict=True)
    ]
    print(f"{platform.machine()}, {os.cpu_count()} cores; proxy on core 0, rest on 1;")
    print(
        f"{options.connections} connections, {options.answer_bytes} B answers, "
        f"{options.rounds} x {options.seconds} s each, "
        f"{'relaxed' if options.relaxed else 'durable'} recording"
    )
    print(f"{'':12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}")
    for name, rows in figures.items():
        middle = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        print(
            f"{name:12}{middle['rate']:12.0f}{middle['p50']:9.2f}{middle['p99']:9.2f}"
            f"{sum(row['failed'] for row in rows):8.0f}"
        )
    print(
        f"ratio to nginx, pair by pair: median {statistics.median(ratios):.3f} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f})"
    )
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
