"""Links recorded exchanges that ask again, once judging them again told which do."""

import sqlite3

from sqlalchemy import select

from storage.assemble import Row, assemble, row_columns
from storage.reasks import asks_to_correct, link_of
from storage.split import split
from storage.statements import INSERT_REASK, text_of
from storage.tables import exchanges, judgements
from storage.verify import DAMAGE

_ROW = text_of(select(*row_columns).where(exchanges.c.seq == 0))
_judged = judgements.c
_SCHEMAS = text_of(
    select(_judged.schema, _judged.digest, _judged.verdict).where(_judged.seq == 0)
)


def relink(connection: sqlite3.Connection, seq: int) -> bool:
    """Link an exchange to the one that it corrects; return whether it is new.

    To be called in the order of `seq`, inside a transaction: a chain has its root from
    those before. Only what repeats the wrong answer is found here.
    """
    row = _row(connection, seq)
    wrong = None if row is None else _row(connection, row.parent)
    if row is None or wrong is None or not (row.verdict and row.content_kept):
        return False
    if wrong.verdict != "invalid" or link_of(connection, seq) is not None:
        return False
    if _schemas(connection, wrong.seq, "invalid").isdisjoint(_schemas(connection, seq)):
        return False
    try:
        request = assemble(connection, row).request
    except DAMAGE:
        return False
    cuts = [cut for cut in split(request).cuts if cut.member != "tools"]
    if not asks_to_correct(request, cuts[-1].elements if cuts else ()):
        return False
    before = link_of(connection, wrong.seq)
    root = wrong.seq if before is None else before.root
    connection.execute(INSERT_REASK, (seq, wrong.seq, root, "client"))
    return True


def _row(connection: sqlite3.Connection, seq: int | None) -> Row | None:
    found = connection.execute(_ROW, (seq,)).fetchone()
    return None if found is None else Row(*found)


def _schemas(
    connection: sqlite3.Connection, seq: int, verdict: str = ""
) -> set[str | bytes]:
    return {
        told
        for schema, digest, its in connection.execute(_SCHEMAS, (seq,))
        if verdict in {"", its}
        for told in (schema, digest)
    }
