"""`make bench-query`: filters over many exchanges, words, capture beside a reader."""

import argparse
import itertools
import json
import random
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import stock
from beside import capture
from drawn import FIELDS, WORDS

from proxy.said import said
from storage.index.behind import catch_up
from storage.index.candidates import blocks
from storage.index.file import index_path
from storage.index.reader import opened
from storage.queries.language import all_of, parse
from storage.queries.pages import cursor_at, page
from storage.queries.tree import Node
from storage.reading import open_library

PAGE_ROWS = 50
FAR_PAGES = 1000
DRAWS = 12  # of values for each field and each pair of fields


Times = dict[str, list[tuple[float, float]]]
"""For each kind of filter the milliseconds of each page, and those of a processor."""


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--words", type=int, default=1_000_000, help="rows with words")
    parser.add_argument("--only", nargs="+", default=["filters", "words", "capture"])
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    parser.add_argument("--json", type=Path, default=Path(".bench/query.json"))
    parser.add_argument("--seconds", type=float, default=5.0, help="of a capture visit")
    parser.add_argument("--rounds", type=int, default=3, help="of capture")
    return parser.parse_args()


def say(text: str) -> None:
    """Show how it goes."""
    print(text, file=sys.stderr, flush=True)


def prepared(folder: Path, rows: int, *, words: bool) -> Path:
    """Return a file of so many exchanges with its index, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"query-{rows}{'-words' * words}.db"
    if not path.exists():
        say(f"making {rows:,} exchanges")
        spent = stock.make(path, rows)
        say(f"  {rows / spent:,.0f} a second, {path.stat().st_size / 1e9:.1f} GB")
    began, left = time.monotonic(), rows
    for left in catch_up(path, said if words else None):
        if rows - left and time.monotonic() - began > 5:
            rate = (rows - left) / (time.monotonic() - began)
            print(f"  {left:,} left, {rate:,.0f} a second  ", end="\r", file=sys.stderr)
    spent = time.monotonic() - began
    if spent > 1:
        size = index_path(path).stat().st_size / 1e9
        say(f"  indexed {rows / spent:,.0f} a second, {size:.2f} GB, {spent:.0f} s")
    return path


def asked(path: Path, texts: Iterator[tuple[str, str]]) -> Times:
    """Return for each kind of filter the milliseconds of its pages."""
    times: Times = {}
    slowest: list[tuple[float, str]] = []
    with open_library(path) as library:
        for kind, text in texts:
            query = all_of([parse(text)])
            far = far_on(path, library.connection, query)
            for where, cursor in (("first page", None), ("page 1000", far)):
                if where == "page 1000" and cursor is None:
                    continue  # there are not so many
                began, busy = time.perf_counter(), time.thread_time()
                found = page(library, query, limit=PAGE_ROWS, cursor=cursor, read=said)
                took = (time.thread_time() - busy) * 1000
                spent = (time.perf_counter() - began) * 1000
                times.setdefault(f"{kind}, {where}", []).append((spent, took))
                slowest.append((spent, f"{where}: {text} ({len(found.rows)} rows)"))
    for spent, what in sorted(slowest, reverse=True)[:5]:
        say(f"  slowest: {spent:.1f} ms {what}")
    return times


def far_on(path: Path, main: sqlite3.Connection, query: Node | None) -> str | None:
    """Return the cursor of the thousandth page, by candidates; None for fewer."""
    left = PAGE_ROWS * (FAR_PAGES - 1)
    with opened(path, main) as index:
        if index is None:
            return None
        for block in blocks(index, query, projects=None, newest_first=True):
            if len(block.seqs) >= left:
                return cursor_at(block.seqs[left - 1])
            left -= len(block.seqs)
    return None


def filters(path: Path) -> Times:
    """Measure each field alone, and each pair of fields."""
    draw = random.Random(4)

    def texts() -> Iterator[tuple[str, str]]:
        for _ in range(DRAWS):
            for make in FIELDS.values():
                yield "one field", make(draw)
        pairs = list(itertools.combinations(FIELDS.values(), 2))
        for one, other in pairs * 2:
            yield "two fields", f"{one(draw)} {other(draw)}"

    return asked(path, texts())


def words(path: Path) -> Times:
    """Measure searches for words."""
    draw = random.Random(5)

    def texts() -> Iterator[tuple[str, str]]:
        for _ in range(DRAWS):
            for kind, make in WORDS.items():
                yield kind, make(draw)

    return asked(path, texts())


def quantile(times: Sequence[float], share: float) -> float:
    """Return the time that this share of all does not exceed."""
    ordered = sorted(times)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def show(title: str, times: Times) -> dict[str, object]:
    """Print a table of times, and return its figures."""
    heads = ("asked", "p50 ms", "p99 ms", "most", "cpu p50", "cpu p99", "cpu most")
    print(f"\n{title:<36}" + "".join(f"{head:>9}" for head in heads))
    figures: dict[str, object] = {}
    for kind, its in times.items():
        told = [
            value
            for column in zip(*its, strict=True)
            for value in (quantile(column, 0.5), quantile(column, 0.99), max(column))
        ]
        print(f"{kind:<36}{len(its):>9}" + "".join(f"{ms:>9.1f}" for ms in told))
        figures[kind] = {"asked": len(its), **dict(zip(heads[1:], told, strict=True))}
    return figures


def main() -> None:
    """Make what is missing, measure, print, and write the JSON."""
    wanted = options()
    told: dict[str, object] = {"rows": wanted.rows, "words": wanted.words}
    if "filters" in wanted.only:
        path = prepared(wanted.folder, wanted.rows, words=False)
        told["filters"] = show(f"{wanted.rows:,} exchanges", filters(path))
    if "words" in wanted.only:
        path = prepared(wanted.folder, wanted.words, words=True)
        told["search"] = show(f"{wanted.words:,} exchanges", words(path))
    if "capture" in wanted.only:
        path = prepared(wanted.folder, wanted.words, words=True)
        told["capture"] = capture(path, wanted)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nmost memory of the reader: {most:.0f} MiB")
    wanted.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
