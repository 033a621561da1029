"""Finds the turns of a request that repeat an answer which was found wrong."""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    select,
    union_all,
)

from storage.assemble import Row
from storage.parents import MOST_CANDIDATES
from storage.split import split
from storage.statements import Prepared, text_of
from storage.tables import exchanges, judgements, nodes, reasks
from storage.threads import is_reasoning, key_list, may_repeat, message_key


def _newest(rows: FromClause, column: str, of: ColumnElement[int]) -> Select[Any]:
    """Return the newest rows before one with the same as a row outside has."""
    return (
        select(rows.c.seq)
        .where(rows.c[column] == of, rows.c.seq < bindparam("before"))
        .order_by(rows.c.seq.desc())
        .limit(MOST_CANDIDATES)
        .correlate(of.table)
    )


_columns = exchanges.c
_all_messages = nodes.alias()
_prefixes = (
    select(nodes.c.id, nodes.c.parent, nodes.c.depth)
    .join(_all_messages, _all_messages.c.parent == nodes.c.id)
    .where(_all_messages.c.id == bindparam("node"))
    .cte("prefixes", recursive=True)
)
_prefixes = _prefixes.union_all(
    select(nodes.c.id, nodes.c.parent, nodes.c.depth).join_from(
        _prefixes, nodes, nodes.c.id == _prefixes.c.parent
    )
)
_alike = _newest(exchanges.alias(), "messages_node", _prefixes.c.id)
_asked = (
    select(_prefixes.c.depth, _columns.seq)
    .join_from(_prefixes, exchanges, _columns.seq.in_(_alike))
    .where(
        _columns.project == bindparam("project"), _columns.previous_response_id == ""
    )
    .cte("asked")
)
_again = _newest(reasks.alias(), "root", _asked.c.seq)
_answered = union_all(
    select(_asked.c.depth, _asked.c.seq),
    select(_asked.c.depth, reasks.c.seq).join_from(
        _asked, reasks, reasks.c.seq.in_(_again)
    ),
).subquery()
_ANSWERS = Prepared(
    select(
        _answered.c.depth,
        _columns.seq,
        _columns.endpoint,
        _columns.verdict == "invalid",
        _columns.answer_keys,
    )
    .join_from(_answered, exchanges, _columns.seq == _answered.c.seq)
    .where(_columns.answer_keys.is_not(None))
)
_SLOTS = text_of(
    select(judgements.c.slot, judgements.c.verdict)
    .where(judgements.c.seq == 0)
    .order_by(judgements.c.number)
)
_CHOICE = re.compile(r"/choices/(\d+)/", re.ASCII)


class _Answer(msgspec.Struct, frozen=True):
    """What was once said to the messages before a place, as keys."""

    right: frozenset[bytes] = frozenset()
    wrong: frozenset[bytes] = frozenset()


def find_missteps(
    connection: sqlite3.Connection, row: Row, request: bytes
) -> frozenset[int]:
    """Return the places in a request's messages at which wrong answers are repeated.

    Wrong is what the last check found `invalid` each time it was said, before this
    request, by the same project, to the messages before it or when they were asked
    again; of the newest `MOST_CANDIDATES` each. What the file does not hold any more
    tells nothing, nor does what an upstream had in mind (`previous_response_id`).
    """
    node = row.messages_node
    if node is None or row.previous_response_id or not may_repeat(request):
        return frozenset()
    given = {"node": node, "before": row.seq, "project": row.project}
    found = connection.execute(_ANSWERS.text, _ANSWERS.values(given)).fetchall()
    if not any(invalid for *_, invalid, _ in found):
        return frozenset()
    cuts = (cut for cut in split(request).cuts if cut.member != "tools")
    elements = next((cut.elements for cut in cuts), ())
    key_at = cache(lambda place: message_key(elements[place]))
    told: dict[int, bool] = {}
    for depth, seq, endpoint, invalid, joined in found:
        answer = _answer(connection, seq, endpoint, joined, invalid=invalid)
        for place in _repeated(answer, depth + 1, elements, key_at):
            told[place] = told.get(place, True) and key_at(place) not in answer.right
    return frozenset(place for place, wrong in told.items() if wrong)


def _answer(
    connection: sqlite3.Connection,
    seq: int,
    endpoint: str,
    joined: bytes,
    *,
    invalid: bool,
) -> _Answer:
    """Return which keys of an exchange are of right answers, and which of wrong ones.

    A verdict is of all choices, so each has what its own slots were found to be.
    """
    keys = key_list(joined)
    if not invalid:
        return _Answer(right=frozenset(keys))
    if endpoint == "responses":  # one answer, of which each item has a key
        return _Answer(wrong=frozenset(keys))
    judged: dict[int, bool] = {}
    for slot, verdict in dict(connection.execute(_SLOTS, (seq,))).items():
        choice = _CHOICE.match(slot)
        if choice is not None:
            number = int(choice[1])
            judged[number] = judged.get(number, False) or verdict == "invalid"
    if max(judged, default=0) >= len(keys):  # some have no key: which, nobody knows
        return _Answer()
    wrong = frozenset(keys[number] for number, one in judged.items() if one)
    return _Answer(right=frozenset(keys) - wrong, wrong=wrong)


def _repeated(
    answer: _Answer,
    start: int,
    elements: Sequence[bytes | msgspec.Raw],
    key_at: Callable[[int], bytes | None],
) -> Iterator[int]:
    """Yield the places from one on at which an answer is repeated, item by item."""
    for place in range(start, len(elements)):
        key = key_at(place)
        if key is None:
            if not is_reasoning(elements[place]):
                return
        elif key in answer.right or key in answer.wrong:
            yield place
        else:
            return
