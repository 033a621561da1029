"""Where commands write: tables for people, JSON for programs, progress bars."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from proxy.commands import plain
from storage.records import Json

PIPE_WIDTH = 160  # columns where no terminal says how many it has
SHOWN_AFTER_S = 1.0


def console() -> Console:
    """Return the console on stdout; it takes nothing for markup."""
    wide = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if wide else PIPE_WIDTH
    return Console(markup=False, highlight=False, emoji=False, width=width)


def print_table(table: Table) -> None:
    """Print a table; without blanks behind its lines where no terminal is."""
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as printed:
        out.print(table)
    for line in printed.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def say(text: str) -> None:
    """Write a line to stdout, harmless whatever it holds."""
    sys.stdout.write(plain.block(text) + "\n")


def flush() -> None:
    """Let what was written so far go out."""
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a line to stderr, harmless whatever it holds."""
    sys.stderr.write(plain.block(text) + "\n")


def write_json(value: Json, *, indent: bool = False) -> None:
    """Write one JSON document and a line feed to stdout."""
    try:
        option = orjson.OPT_INDENT_2 if indent else 0
        text = orjson.dumps(value, option=option).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, as some upstreams send it
        text = json.dumps(value, indent=2 if indent else None)
    sys.stdout.write(plain.escaped_json(text) + "\n")


def cell(text: str, style: str = "") -> Text:
    """Return recorded text as one line of a table's cell."""
    return Text(plain.line(text), style=style, no_wrap=True, overflow="ellipsis")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr once the block takes longer than a second, on a terminal.

    Shapes: the value takes how many are done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=total)
    timer = Timer(SHOWN_AFTER_S, bar.start)  # also where the first step is the long one
    timer.daemon = True
    timer.start()
    try:
        yield lambda done: bar.update(task, completed=done)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
