"""`spiritsafe list`, `search` and `tail`: rows of the file, as they are and come."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from proxy.commands import plain, printing, rows
from proxy.commands.opening import found, opened
from proxy.said import said
from storage import following
from storage.assemble import Row
from storage.queries.conditions import condition
from storage.queries.excerpts import Excerpts
from storage.queries.pages import cursor_at, page
from storage.queries.tree import Node
from storage.reading import Library

POLL_S = 0.5


def show_list(
    db: Path | None,
    query: Node | None = None,
    *,
    limit: int = 20,
    before: str | None = None,
    as_json: bool = False,
) -> int:
    """Print rows that match, newest first."""
    with opened(db) as library:
        cursor = None if before is None else cursor_at(found(library, before).seq)
        fitting, more = first_rows(library, query, limit=limit, cursor=cursor)
    if as_json:
        for row in fitting:
            printing.write_json(rows.as_json(row))
    elif fitting:
        printing.print_table(rows.table(fitting, printing.console().width))
    else:
        printing.tell("nothing recorded fits")
    if more:
        printing.tell(
            f"there is more: --before {fitting[-1].id} goes on, --limit shows more"
        )
    return 0


def search(
    db: Path | None, query: Node | None, *, limit: int = 20, as_json: bool = False
) -> int:
    """Print rows that match, newest first, with the place that the words stand at."""
    with opened(db) as library:
        fitting, more = first_rows(library, query, limit=limit)
        with Excerpts(library, query, said) as excerpts:
            places = {row.seq: excerpts.of(row.seq) for row in fitting}
    if as_json:
        for row in fitting:
            printing.write_json({**rows.as_json(row), "excerpt": places[row.seq]})
    elif fitting:
        width = printing.console().width
        tell = partial(_excerpt, places)
        printing.print_table(rows.table(fitting, width, tell=tell, title="excerpt"))
    else:
        printing.tell("nothing recorded fits")
    if more:
        printing.tell("there is more: --limit shows more")
    return 0


def _excerpt(places: dict[int, str], row: Row, width: int) -> str:
    return plain.fitted(plain.line(places[row.seq]), width) or rows.preview(row, width)


def first_rows(
    library: Library, query: Node | None, *, limit: int, cursor: str | None = None
) -> tuple[list[Row], bool]:
    """Return the newest rows that match, however long it takes to find so many.

    Shapes: and whether some of the file is left to look at behind them.
    """
    fitting: list[Row] = []
    with printing.progress("searching", None) as done:
        while True:
            here = page(
                library, query, cursor=cursor, limit=limit - len(fitting), read=said
            )
            fitting += here.rows
            cursor = here.cursor
            if cursor is None or len(fitting) == limit:
                return fitting, cursor is not None
            done(len(fitting))


def follow(
    db: Path | None,
    query: Node | None = None,
    *,
    count: int = 10,
    on: bool = False,
    as_json: bool = False,
) -> int:
    """Print the last rows, oldest first, and with `on` each further one as it ends."""
    with opened(db) as library:
        place = following.newest(library)
        until = cursor_at(place.high + 1)
        last = list[Row]()
        if count:
            last, _ = first_rows(library, query, limit=count, cursor=until)
        _print(last[::-1], as_json=as_json, header=True)
        with condition(library, query, projects=None, read=said) as wanted:
            while on:
                time.sleep(POLL_S)
                step = following.step(library, place, condition=wanted)
                place = step.place
                _print(step.rows, as_json=as_json, header=False)
    return 0


def _print(page_of: Sequence[Row], *, as_json: bool, header: bool) -> None:
    if as_json:
        for row in page_of:
            printing.write_json(rows.as_json(row))
    elif page_of or header:
        width = printing.console().width
        printing.print_table(rows.table(page_of, width, steady=True, header=header))
    # A pipe must get each row as it comes.
    printing.flush()
