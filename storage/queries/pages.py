"""Pages of what a filter matches: by key, each in bounded time, never counted."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import func, select

from storage.assemble import Row
from storage.errors import BadCursor
from storage.index import reader
from storage.index.reader import Index
from storage.queries.conditions import asking
from storage.queries.content import Reader
from storage.queries.looking import Look
from storage.queries.predicate import reads_content
from storage.queries.tree import Node
from storage.reading import Library
from storage.statements import bound
from storage.tables import exchanges

DEADLINE_S = 2.0

AT_ONCE = 500
"""Rows of one page where all are wanted: short reads let the log be copied back."""

_CURSOR = re.compile(r"([no])(\d{1,18})", re.ASCII)

_seq = exchanges.c.seq


class Page(msgspec.Struct, frozen=True):
    """Some rows that match, and where to go on.

    Shapes: `cursor` is None where there are no more; a page that ran out of time has
    one and may have few rows, or none. `unindexed` counts rows that the
    index lacks: they are looked at directly, but for words, newest first, no more than
    `looking.MOST_BODIES` of them. All other rows up to `reached`, in the order of the
    page, are looked at.
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
    until = time.monotonic() + deadline_s
    last = newest(library)
    start = reached = _start(cursor, newest_first=newest_first, last=last)
    look = Look(
        library, query, projects=projects, newest_first=newest_first, limit=limit
    )
    asks = query is not None or projects is not None
    rows: list[Row] = []
    with ExitStack() as stack:
        index = None
        if asks:  # else every row is wanted
            index = stack.enter_context(_index_of(library))
        stack.enter_context(asking(library, query, read))
        steps = stack.enter_context(closing(look.steps(start, last, index)))
        for step in steps:
            rows += step.rows
            reached = step.reached
            if len(rows) > limit or time.monotonic() > until:
                cursor = cursor_at(reached, newest_first=newest_first)
                break
        else:
            cursor, reached = None, 0 if newest_first else last
        indexed = _indexed(index, words=reads_content(query))
    if len(rows) > limit:
        del rows[limit:]
        reached = rows[-1].seq
        cursor = cursor_at(reached, newest_first=newest_first)
    unindexed = max(last - indexed, 0) if asks else 0
    return Page(rows, cursor, unindexed=unindexed, reached=reached)


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
            limit=AT_ONCE,
            read=read,
        )
        yield from found.rows
        cursor = found.cursor


@contextmanager
def _index_of(library: Library) -> Iterator[Index | None]:
    """Open the index of a library, where whoever breaks it off finds it."""
    with reader.opened(_path(library), library.connection) as index:
        library.beside = index.connection if index is not None else None
        try:
            yield index
        finally:
            library.beside = None


def _indexed(index: Index | None, *, words: bool) -> int:
    if index is None:
        return 0
    return index.progress.worded if words else index.progress.indexed


def _start(cursor: str | None, *, newest_first: bool, last: int) -> int:
    if cursor is None:
        return last + 1 if newest_first else 0
    found = _CURSOR.fullmatch(cursor)
    if found is None or (found[1] == "n") != newest_first:
        raise BadCursor("the cursor is none that a page of this order gave")
    return min(int(found[2]), last + 1)


def _path(library: Library) -> Path:
    return Path(library.connection.execute("PRAGMA database_list").fetchone()[2])
