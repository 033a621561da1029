"""Looks at rows for a page, a few at a time, so that whoever pages can stop between.

Rows that the index has come from its candidates, all others in windows of their
numbers; the predicate decides wherever the index is not sure.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import orjson
from sqlalchemy import Text, bindparam, func, select

from storage.assemble import Row, row_columns
from storage.index.candidates import Block, blocks
from storage.index.reader import Index
from storage.queries.conditions import of_projects
from storage.queries.predicate import predicate, reads_content
from storage.queries.tree import Node
from storage.reading import Library, Query
from storage.statements import Prepared, bound
from storage.tables import exchanges

WINDOW_ROWS = 4096
"""Rows that one statement looks at: about 20 ms where none of them matches."""

WINDOW_BODIES = 64
"""The same where bodies have to be read."""

UNSURE_ROWS = 256
UNSURE_BODIES = 16
"""Candidates of the index that one statement looks at."""

MOST_BODIES = 256
"""Bodies that a page reads, newest first, of rows whose words the index lacks.

Some 20 ms; whoever searched a busy server would else hold up what it records.
"""

_seq = exchanges.c.seq
_SEQS = "these_seqs"


class Step(NamedTuple):
    """Some rows that match, in order, and the row up to which all are looked at."""

    rows: list[Row]
    reached: int


class Look:
    """One filter over one library, for one page."""

    def __init__(
        self,
        library: Library,
        query: Node | None,
        *,
        projects: frozenset[str] | None,
        newest_first: bool,
        limit: int,
    ) -> None:
        self._connection = library.connection
        self._node = query
        self._projects = projects
        self._newest_first = newest_first
        self._most = limit + 1  # one more tells that there is more
        dear = reads_content(query)
        self._bodies_left = MOST_BODIES if dear and newest_first else None
        self._window = WINDOW_BODIES if dear else WINDOW_ROWS
        self._unsure = UNSURE_BODIES if dear else UNSURE_ROWS
        rows: Query = select(*row_columns)
        self._seen = rows.order_by(_seq.desc() if newest_first else _seq)
        if projects is not None:
            self._seen = self._seen.where(of_projects(projects))
        self._matching = self._seen
        if query is not None:
            self._matching = self._matching.where(predicate(query))
        self._prepared: dict[bool, Prepared] = {}  # by whether rows have to match

    def steps(
        self, start: int, last: int, index: Index | None
    ) -> Generator[Step, None, None]:
        """Yield what matches behind `start`, and no further than `last`."""
        if index is None:
            self._bodies_left = None
            yield from self._windows(start, last)
        elif self._newest_first:
            indexed = index.progress.indexed
            yield from self._windows(start, last, down_to=indexed)
            yield from self._candidates(index, min(start - 1, indexed))
        else:
            yield from self._candidates(index, start + 1)
            yield from self._windows(max(start, index.progress.indexed), last)

    def _windows(self, start: int, last: int, *, down_to: int = 0) -> Iterator[Step]:
        size = self._window
        if self._newest_first:
            for high in range(start - 1, down_to, -size):
                if self._bodies_left == 0:
                    return
                low = max(down_to + 1, high - size + 1)
                self._spend(size)
                yield Step(self._between(low, high), low)
        else:
            for low in range(start + 1, last + 1, size):
                high = min(last, low + size - 1)
                yield Step(self._between(low, high), high)

    def _between(self, low: int, high: int) -> list[Row]:
        return self._rows(self._matching.where(_seq.between(low, high)))

    def _candidates(self, index: Index, from_seq: int) -> Iterator[Step]:
        found = blocks(
            index,
            self._node,
            projects=self._projects,
            newest_first=self._newest_first,
            from_seq=from_seq,
        )
        for block in found:
            few = block.sure is not True and self._bodies_left != 0
            size = self._unsure if few else self._most
            for at in range(0, len(block.seqs), size):
                seqs = block.seqs[at : at + size]
                yield Step(self._decided(block, seqs), seqs[-1])
            if not block.seqs:
                yield Step([], block.reached)

    def _decided(self, block: Block, seqs: Sequence[int]) -> list[Row]:
        if block.sure is True:
            return self._among(seqs, matching=False)
        sure = block.sure or frozenset[int]()
        unsure = [seq for seq in seqs if seq not in sure][: self._bodies_left]
        self._spend(len(unsure))
        rows = self._among(unsure, matching=True) if unsure else []
        known = [seq for seq in seqs if seq in sure]
        if known:
            rows += self._among(known, matching=False)
            rows.sort(key=lambda row: row.seq, reverse=self._newest_first)
        return rows

    def _spend(self, bodies: int) -> None:
        if self._bodies_left is not None:
            self._bodies_left = max(self._bodies_left - bodies, 0)

    def _among(self, seqs: Sequence[int], *, matching: bool) -> list[Row]:
        """Return those of some rows that are there, or that match."""
        prepared = self._prepared.get(matching)
        if prepared is None:
            query = self._matching if matching else self._seen
            given = func.json_each(bindparam(_SEQS, type_=Text()))
            these = select(given.table_valued("value").c.value)
            prepared = Prepared(query.where(_seq.in_(these)).limit(self._most))
            self._prepared[matching] = prepared
        values = prepared.values({_SEQS: orjson.dumps(list(seqs)).decode()})
        return [Row(*row) for row in self._connection.execute(prepared.text, values)]

    def _rows(self, query: Query) -> list[Row]:
        found = self._connection.execute(*bound(query.limit(self._most)))
        return [Row(*row) for row in found]
