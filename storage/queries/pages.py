"""Pages of what a filter matches: by key, each in bounded time, never counted."""

import re
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext

import msgspec
import orjson
from sqlalchemy import func, literal, select

from storage.assemble import Row, row_columns
from storage.errors import BadCursor, BadQuery
from storage.queries.content import Contents, Reader
from storage.queries.predicate import Condition, predicate, reads_content
from storage.queries.tree import Node
from storage.reading import Library, Query
from storage.statements import bound
from storage.tables import exchanges

DEADLINE_S = 2.0

WINDOW_ROWS = 4096
"""Rows that one statement looks at: about 20 ms where none of them matches."""

WINDOW_BODIES = 64
"""The same where bodies have to be read."""

_CURSOR = re.compile(r"([no])(\d{1,18})", re.ASCII)

_seq = exchanges.c.seq


class Page(msgspec.Struct, frozen=True):
    """Some rows that match, and where to go on.

    Shapes: `cursor` is None where there are no more; a page that ran out of time has
    one and may have few rows, or none. `unindexed` counts rows that had to be looked
    at directly. All rows up to `reached`, in the order of the page, are looked at.
    """

    rows: list[Row]
    cursor: str | None
    unindexed: int
    reached: int


def cursor_at(seq: int, *, newest_first: bool = True) -> str:
    """Return the cursor of the page that begins behind this row."""
    return f"{'n' if newest_first else 'o'}{seq}"


def newest(library: Library) -> int:
    """Return the number of the last row; 0 where there is none."""
    query = select(func.max(_seq))
    return library.connection.execute(*bound(query)).fetchone()[0] or 0


def page(
    library: Library,
    query: Node | None,
    *,
    projects: frozenset[str] | None = None,
    newest_first: bool = True,
    cursor: str | None = None,
    limit: int = 50,
    deadline_s: float = DEADLINE_S,
    read: Reader | None = None,
) -> Page:
    """Return the first rows that match, behind a cursor where one is given.

    Shapes: `projects` are the fingerprints whose rows may be seen, None for all;
    `read` tells what an exchange says, for filters of its text.
    Raises: `BadCursor`; `BadQuery` for such a filter without `read`.
    """
    last = newest(library)
    start = _start(cursor, newest_first=newest_first, last=last)
    dear = reads_content(query)
    if dear and read is None:
        raise BadQuery("the text of exchanges cannot be searched here", 1)
    contents = Contents(library, read) if dear and read else None
    with closing(contents) if contents else nullcontext():
        scan = _Scan(library, _condition(query, projects), newest_first=newest_first)
        size = WINDOW_BODIES if dear else WINDOW_ROWS
        until = time.monotonic() + deadline_s
        found: list[Row] = []
        reached = start
        for low, high in scan.windows(start, last, size):
            found += scan.rows(low, high, limit=limit + 1 - len(found))
            if len(found) > limit:
                found.pop()
                reached = found[-1].seq
                break
            reached = low if newest_first else high
            if time.monotonic() > until:
                break
        ended = reached <= 1 if newest_first else reached >= last
        cursor = None if ended else cursor_at(reached, newest_first=newest_first)
        return Page(found, cursor, unindexed=last, reached=reached)


def everything(
    library: Library,
    query: Node | None,
    *,
    projects: frozenset[str] | None = None,
    read: Reader | None = None,
) -> Iterator[Row]:
    """Yield all rows that match, oldest first, a few hundred in memory at once."""
    cursor: str | None = cursor_at(0, newest_first=False)
    while cursor is not None:
        found = page(
            library,
            query,
            projects=projects,
            newest_first=False,
            cursor=cursor,
            limit=500,
            read=read,
        )
        yield from found.rows
        cursor = found.cursor


def _start(cursor: str | None, *, newest_first: bool, last: int) -> int:
    if cursor is None:
        return last + 1 if newest_first else 0
    found = _CURSOR.fullmatch(cursor)
    if found is None or (found[1] == "n") != newest_first:
        raise BadCursor("the cursor is none that a page of this order gave")
    return min(int(found[2]), last + 1)


def _condition(query: Node | None, projects: frozenset[str] | None) -> Condition | None:
    wanted = None if query is None else predicate(query)
    if projects is None:
        return wanted
    given = func.json_each(literal(orjson.dumps(sorted(projects)).decode()))
    seen = exchanges.c.project.in_(select(given.table_valued("value").c.value))
    return seen if wanted is None else seen & wanted


class _Scan:
    """Looks at rows a window at a time, so that it can stop between two."""

    def __init__(
        self, library: Library, condition: Condition | None, *, newest_first: bool
    ) -> None:
        self._connection = library.connection
        self._newest_first = newest_first
        query: Query = select(*row_columns)
        if condition is not None:
            query = query.where(condition)
        self._query = query.order_by(_seq.desc() if newest_first else _seq)

    def rows(self, first: int, last: int, *, limit: int) -> list[Row]:
        """Return the rows that match among those with these numbers."""
        query = self._query.where(_seq.between(first, last)).limit(limit)
        return [Row(*row) for row in self._connection.execute(*bound(query))]

    def windows(self, start: int, last: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield the first and last number of each window behind `start`."""
        if self._newest_first:
            for high in range(start - 1, 0, -size):
                yield max(1, high - size + 1), high
        else:
            for low in range(start + 1, last + 1, size):
                yield low, min(last, low + size - 1)
