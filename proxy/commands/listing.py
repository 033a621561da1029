"""`spiritsafe list` and `tail`: rows of the file, as they are and as they come."""

import time
from pathlib import Path

from proxy.commands import printing, rows
from proxy.commands.opening import found, opened
from storage.assemble import Row
from storage.reading import NO_FILTERS, Filters, Library

POLL_S = 0.5


def show_list(
    db: Path | None,
    *,
    limit: int = 20,
    before: str | None = None,
    filters: Filters = NO_FILTERS,
    as_json: bool = False,
) -> int:
    """Print rows, newest first."""
    with opened(db) as library:
        start = None if before is None else found(library, before).id
        page = library.page(before=start, limit=limit, filters=filters)
    if as_json:
        printing.write_json([rows.as_json(row) for row in page])
    elif page:
        printing.print_table(rows.table(page, printing.console().width))
    else:
        printing.tell("nothing recorded fits")
    return 0


def follow(
    db: Path | None, *, count: int = 10, on: bool = False, as_json: bool = False
) -> int:
    """Print the last rows, oldest first, and with `on` each further one as it ends."""
    with opened(db) as library:
        page = library.page(limit=count)[::-1] if count else []
        last = page[-1].seq if page else _newest(library)
        _print(page, as_json=as_json, header=True)
        waiting = [row.seq for row in page if row.state == "open"]
        while on:
            time.sleep(POLL_S)
            ended = [row for seq in waiting for row in library.after(seq - 1, limit=1)]
            came = library.after(last)
            last = came[-1].seq if came else last
            settled = [row for row in (*ended, *came) if row.state != "open"]
            waiting = [row.seq for row in (*ended, *came) if row.state == "open"]
            _print(settled, as_json=as_json, header=False)
    return 0


def _newest(library: Library) -> int:
    page = library.page(limit=1)
    return page[0].seq if page else 0


def _print(page: list[Row], *, as_json: bool, header: bool) -> None:
    if as_json:
        for row in page:
            printing.write_json(rows.as_json(row))
    elif page or header:
        width = printing.console().width
        printing.print_table(rows.table(page, width, steady=True, header=header))
    # A pipe must get each row as it comes.
    printing.flush()
