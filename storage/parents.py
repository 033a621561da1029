"""Finds the exchange that a new one goes on from."""

import sqlite3
from collections.abc import Sequence
from itertools import islice

import msgspec
from sqlalchemy import select, text

from storage.records import Exchange
from storage.statements import text_of
from storage.tables import exchanges, reasks
from storage.threads import answers_before, split_keys

# Re-asks of one prompt are answered alike, so the newest tell as much as all would.
MOST_CANDIDATES = 64

# A request repeats its last answer near its end; few-shot examples are never found.
_MOST_PLACES = 16

_columns = exchanges.c
_kin = select(
    _columns.seq,
    _columns.thread,
    _columns.project,
    _columns.answer_keys,
    _columns.verdict,
)
_newest = _kin.order_by(_columns.seq.desc()).limit(MOST_CANDIDATES)
_BY_NODE = text_of(_newest.where(_columns.messages_node == 0))
# The second condition is the index's own, word for word: a parameter proves nothing.
_BY_COMPLETION = text_of(
    _newest.where(_columns.completion_id == "", text("completion_id <> ''"))
)

_ATTEMPTS = text_of(
    _newest.join_from(exchanges, reasks, reasks.c.seq == _columns.seq).where(
        reasks.c.root == 0
    )
)


class Kin(msgspec.Struct, frozen=True, gc=False):
    """What an exchange must tell for others to be linked to it."""

    seq: int
    thread: int
    project: str
    keys: bytes | None
    verdict: str | None = None


class Parents:
    """Looks parents up, in the file and among the rows of the batch at hand."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_node: dict[int, list[Kin]] = {}
        self._by_completion: dict[str, list[Kin]] = {}

    def written(self) -> None:
        """Forget the batch: its rows are in the file."""
        self._by_node.clear()
        self._by_completion.clear()

    def add(self, kin: Kin, *, node: int | None, completion_id: str) -> None:
        """Make an exchange of this batch known to those after it."""
        if node is not None:
            self._by_node.setdefault(node, []).insert(0, kin)
        if completion_id:
            self._by_completion.setdefault(completion_id, []).insert(0, kin)

    def named(self, exchange: Exchange) -> Kin | None:
        """Return the parent that a Responses request names by its id."""
        name = exchange.previous_response_id
        if not name:
            return None
        for kin in self._by_completion.get(name, ()):
            if kin.project == exchange.project:
                return kin
        return self._first(_BY_COMPLETION, (name,), exchange.project, None)

    def answered(
        self,
        exchange: Exchange,
        *,
        elements: Sequence[bytes | msgspec.Raw],
        chain: Sequence[int],
        first_new: int,
    ) -> Kin | None:
        """Return the parent whose messages and answer this conversation starts with.

        Shapes: `chain` has the node of each prefix of `elements`; nodes from
        `first_new` on are in no row of the file, so they are not looked up there.
        """
        for position, keys in islice(answers_before(elements), _MOST_PLACES):
            if position == 0:
                break
            node = chain[position - 1]
            for kin in self._by_node.get(node, ()):
                if kin.project == exchange.project and _said(kin, keys):
                    return kin
            if node < first_new:
                found = self._first(_BY_NODE, (node,), exchange.project, keys)
                if found is not None:
                    return found
        return None

    def asked(self, exchange: Exchange, node: int, first_new: int) -> Kin | None:
        """Return the newest exchange that asked just this and was answered wrongly."""
        for kin in self._by_node.get(node, ()):
            if kin.project == exchange.project and kin.verdict == "invalid":
                return kin
        if node >= first_new:
            return None
        rows = self._connection.execute(_BY_NODE, (node, MOST_CANDIDATES, 0))
        kins = (Kin(*row) for row in rows)
        wrong = (kin for kin in kins if kin.verdict == "invalid")
        return next((kin for kin in wrong if kin.project == exchange.project), None)

    def _first(
        self,
        query: str,
        arguments: tuple[str | int, ...],
        project: str,
        keys: set[bytes] | None,
    ) -> Kin | None:
        limited = (*arguments, MOST_CANDIDATES, 0)
        for row in self._connection.execute(query, limited):
            kin = Kin(*row)
            if kin.project != project:
                continue
            if keys is None or _said(kin, keys):
                return kin
            if kin.verdict == "invalid":
                corrected = self._corrected(kin, keys)
                if corrected is not None:
                    return corrected
        return None

    def _corrected(self, wrong: Kin, keys: set[bytes]) -> Kin | None:
        """Return the attempt to correct this one that answered so.

        A conversation goes on with the answer that came in the end, and does not repeat
        what was said of the errors: `repair` and Instructor keep that from it.
        """
        limited = (wrong.seq, MOST_CANDIDATES, 0)
        kins = (Kin(*row) for row in self._connection.execute(_ATTEMPTS, limited))
        return next((kin for kin in kins if _said(kin, keys)), None)


def _said(kin: Kin, keys: set[bytes]) -> bool:
    return not keys.isdisjoint(split_keys(kin.keys or b""))
