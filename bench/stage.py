"""One run of the bench: its options, who stands on stage, and what was found."""

import argparse
import contextlib
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ask import body
from peers import PEER_LIST, Peer
from rig import Ask, upstream
from servers import PROXY_CORE, NotStarted, Server, free_port, running

DIRECT = "direct"


@dataclass(frozen=True)
class Fact:
    """One figure of one contestant in one scenario; `note` says what limits it."""

    scenario: str
    peer: str
    what: str
    value: float
    note: str = ""


@dataclass
class Bench:
    """What the scenarios share: options in, facts out."""

    options: argparse.Namespace
    facts: list[Fact] = field(default_factory=list)
    seeds: Iterator[int] = field(
        default_factory=lambda: itertools.count(int(time.time()) % 100_000 * 1000)
    )

    def found(self, scenario: str, peer: str, note: str = "", **figures: float) -> None:
        """Keep figures, and show them as they come."""
        shown = []
        for what, value in figures.items():
            self.facts.append(Fact(scenario, peer, what, value, note))
            shown.append(f"{what} {value:.4g}")
        self.say(f"{scenario:8} {peer:11} {'  '.join(shown)}  {note}")

    def say(self, text: str, *, passing: bool = False) -> None:
        """Show a line; a passing one is written over by the next."""
        if passing and not sys.stderr.isatty():
            return
        end = "\r" if passing else "\n"
        sys.stderr.write(f"\x1b[2K{text}{end}" if sys.stderr.isatty() else text + end)
        sys.stderr.flush()

    def peers(self) -> tuple[Peer, ...]:
        """Return who was asked for and is installed."""
        asked = self.options.peers
        return tuple(p for p in PEER_LIST if p.there and (not asked or p.name in asked))

    def as_json(self) -> list[dict[str, object]]:
        """Return every fact, plain."""
        return [asdict(fact) for fact in self.facts]


@dataclass(frozen=True)
class Stage:
    """The upstream and the contestants of one scenario, all running.

    Shapes: `servers` by name, in the order of the visits; `direct` is no server but
    the way past all of them.
    """

    place: Path
    upstream: Server
    servers: dict[str, Server]
    peers: dict[str, Peer]

    def ask(self, name: str, size: int, *, stream: bool = False) -> Ask:
        """Return the request of a scenario as this contestant takes it."""
        text = body(size, stream=stream)
        if name == DIRECT:
            return Ask(self.upstream.port, text, {}, self.place)
        headers = self.peers[name].headers_for(self.upstream.port)
        return Ask(self.servers[name].port, text, headers, self.place)


@contextlib.contextmanager
def stage(
    bench: Bench,
    scenario: str,
    *,
    peers: tuple[Peer, ...] | None = None,
    env: dict[str, str] | None = None,
    **serves: float,
) -> Iterator[Stage]:
    """Run an upstream that `serves` so, and in front of it everybody, or `peers`."""
    chosen = bench.peers() if peers is None else peers
    folder = tempfile.mkdtemp(prefix="spiritsafe-bench-", dir=bench.options.folder)
    place = Path(folder)
    try:
        with contextlib.ExitStack() as stack:
            port = free_port()
            serving = stack.enter_context(upstream(place, port, **serves))  # type: ignore[arg-type]  # whole numbers are
            servers = {}
            for peer in chosen:
                bench.say(f"{scenario:8} starting {peer.name}", passing=True)
                own = free_port()
                run = running(
                    PROXY_CORE,
                    peer.command(place, own, port),
                    own,
                    log=place / f"{peer.name}.log",
                    env={**peer.env, **(env or {})},
                )
                try:
                    servers[peer.name] = stack.enter_context(run)
                except NotStarted as exc:
                    bench.say(f"SKIPPED {peer.name}: it did not start: {exc}")
            by_name = {peer.name: peer for peer in chosen}
            yield Stage(place, serving, servers, by_name)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def needed(bench: Bench) -> None:
    """Say who is missing, and stop where nothing can be measured without."""
    for tool in ("nginx", "wrk", "taskset"):
        if shutil.which(tool) is None:
            sys.exit(f"`make bench` needs {tool}: apt-get install nginx-light wrk")
    for peer in PEER_LIST:
        if not peer.there:
            bench.say(
                f"SKIPPED {peer.name}: not installed. `make bench-peers` installs it"
            )
    missing = set(bench.options.peers) - {peer.name for peer in PEER_LIST}
    if missing:
        names = ", ".join(peer.name for peer in PEER_LIST)
        sys.exit(f"nobody is called {', '.join(missing)}: choose from {names}")
