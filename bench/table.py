"""The table of a run, and beside each target of the design what was reached."""

import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from stage import Fact

LOW = "unary low"
Found = dict[tuple[str, str], dict[str, float]]


@dataclass(frozen=True)
class Target:
    """One line of design section 10: where it is read, and when it is met."""

    what: str
    aim: str
    reached: Callable[[Found], float]
    met: Callable[[float], bool]


def _at(scenario: str, what: str, peer: str = "spiritsafe") -> Callable[[Found], float]:
    return lambda found: found[scenario, peer][what]


def _times(peer: str) -> Callable[[Found], float]:
    return lambda found: (
        found["unary", "spiritsafe"]["rate"] / found["unary", peer]["rate"]
    )


def _most(bound: float) -> Callable[[float], bool]:
    return lambda value: value <= bound


def _least(bound: float) -> Callable[[float], bool]:
    return lambda value: value >= bound


TARGETS = (
    Target("requests/s, of nginx", "≥ 0.25", _at("unary", "of_nginx"), _least(0.25)),
    Target("requests/s, of mitmdump", "≥ 10", _times("mitmdump"), _least(10)),
    Target("requests/s, of Portkey", "≥ 10", _times("portkey"), _least(10)),
    Target("requests/s, of LiteLLM", "≥ 50", _times("litellm"), _least(50)),
    Target("added, low load, p50 ms", "≤ 0.5", _at(LOW, "added_p50_ms"), _most(0.5)),
    Target("added, low load, p99 ms", "≤ 2", _at(LOW, "added_p99_ms"), _most(2)),
    Target("of 5 000 streams dropped", "0", _at("crowd", "dropped"), _most(0)),
    Target("added to an event, p99 ms", "≤ 5", _at("crowd", "delay_p99_ms"), _most(5)),
    Target("KiB per open stream", "≤ 60", _at("crowd", "kib_per_stream"), _most(60)),
    Target("start, s", "≤ 1", _at("idle", "start_s"), _most(1)),
    Target("idle, MiB resident", "≤ 80", _at("idle", "resident_mib"), _most(80)),
    Target("disk, of unique packed", "≤ 1.5", _at("disk", "of_unique"), _most(1.5)),
)


def show(facts: Iterable[Fact]) -> str:
    """Return everything found as Markdown: a table per scenario, then the targets."""
    found: Found = {}
    notes: dict[tuple[str, str], str] = {}
    for fact in facts:
        key = (fact.scenario, fact.peer)
        found.setdefault(key, {})[fact.what] = fact.value
        notes[key] = fact.note
    lines = [machine(), ""]
    for scenario in dict.fromkeys(scenario for scenario, _ in found):
        rows = {peer: its for (at, peer), its in found.items() if at == scenario}
        names = list(dict.fromkeys(name for its in rows.values() for name in its))
        if len(rows) == 1:  # one contestant: its figures below each other
            ((peer, its),) = rows.items()
            pairs = [[name.replace("_", " "), _shown(its[name])] for name in names]
            lines += _table([f"{scenario}, {peer}", notes[scenario, peer]], pairs)
            continue
        lines += _table(
            [scenario, *(name.replace("_", " ") for name in names), ""],
            [
                [
                    peer,
                    *(_shown(its[n]) if n in its else "" for n in names),
                    notes[scenario, peer],
                ]
                for peer, its in rows.items()
            ],
        )
    return "\n".join([*lines, *_targets(found)])


def _targets(found: Found) -> list[str]:
    rows = []
    for target in TARGETS:
        try:
            value = target.reached(found)
        except (KeyError, ZeroDivisionError):
            continue
        verdict = "met" if target.met(value) else "MISSED"
        rows.append([target.what, target.aim, _shown(value), verdict])
    return _table(["target", "aim", "reached", ""], rows) if rows else []


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: list[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [line(head), rule, *map(line, rows), ""]


def _shown(figure: float) -> str:
    """Return a figure as people read it.

    >>> _shown(32530.4), _shown(0.12604), _shown(5000.0)
    ('32 530', '0.126', '5 000')
    """
    value = float(figure)
    if value.is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def machine() -> str:
    """Return what the figures belong to, in one line."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((it.split(": ")[1] for it in info if it.startswith("model name")), "")
    return (
        f"{model or platform.machine()}, {os.cpu_count()} cores; the measured program "
        f"on core 0, load and upstream on core 1; CPython {platform.python_version()}"
    )
