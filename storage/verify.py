"""Checks a whole file: that it holds what it says it holds, byte for byte."""

import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Literal

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select

from storage import epochs
from storage.assemble import MAX_BODY_BYTES, Kept, Row
from storage.bodies import DamagedFrame, Packer
from storage.errors import BodyTooLarge
from storage.reading import Library
from storage.records import Edit
from storage.statements import bound
from storage.tables import epochs as epochs_table
from storage.tables import exchanges, judgements, nodes, pieces

# Makes what was sent out of what was received; the proxy's part, as it made the edits.
Reedit = Callable[[bytes, tuple[Edit, ...]], bytes]

DAMAGE = (ValueError, DamagedFrame, msgspec.DecodeError, BodyTooLarge)


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be. Shapes: `id` of an exchange, or empty."""

    id: str
    what: str


class Progressed(msgspec.Struct, frozen=True):
    """How far the checking of the exchanges is, or before them of shared pieces."""

    done: int
    total: int
    what: Literal["exchanges", "pieces"] = "exchanges"


def verify(
    library: Library, *, reedit: Reedit | None = None
) -> Iterator[Finding | Progressed]:
    """Yield what is wrong with a file, and in between how far the check is.

    Shapes: no `Finding` at all means a sound file. With `reedit` each exchange proves
    that what went upstream is what came in with its declared edits.
    """
    connection = library.connection
    for steps in (
        _check_file(connection),
        _check_totals(connection),
        _check_threads(connection),
        _check_judgements(connection),
        _check_pieces(connection),
        _check_rows(library, reedit),
    ):
        try:
            yield from steps
        except sqlite3.DatabaseError as exc:
            yield Finding("", f"a part of the file cannot be read: {exc}")


def check(kept: Kept, *, reedit: Reedit | None = None) -> list[str]:
    """Return what is wrong with one exchange."""
    row, wrong = kept.row, []
    if sha256(kept.request).digest() != kept.request_sha256:
        wrong.append("the request is not the one that was received")
    # Of an answer past the limit only a prefix is kept, with the hash of the whole.
    whole = kept.kept_size == row.answer_size and row.state != "open"
    if whole and sha256(kept.answer).digest() != kept.answer_sha256:
        wrong.append("the answer is not the one that was received")
    if len(kept.answer) != kept.kept_size:
        wrong.append(f"the answer has {len(kept.answer)} bytes, not {kept.kept_size}")
    if reedit is not None and kept.sent_sha256:
        body_edits = tuple(edit for edit in kept.edits if edit.where == "body")
        if sha256(reedit(kept.request, body_edits)).digest() != kept.sent_sha256:
            wrong.append("what was sent is not the request with its declared edits")
    return wrong


def _check_file(connection: sqlite3.Connection) -> Iterator[Finding]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("", f"integrity_check: {line}")


def _check_totals(connection: sqlite3.Connection) -> Iterator[Finding]:
    connection.execute("BEGIN")  # both from one moment: a recorder may be at work
    try:
        runs = epochs.read(connection)
        query = select(func.count(), func.max(exchanges.c.seq))
        count, last = connection.execute(*bound(query)).fetchone()
        query = select(exchanges.c.epoch, exchanges.c.state, func.count()).group_by(
            exchanges.c.epoch, exchanges.c.state
        )
        counted = {row[:2]: row[2] for row in connection.execute(*bound(query))}
    finally:
        connection.execute("COMMIT")
    if not epochs.totals(runs).balanced:
        yield Finding("", "accepted exchanges are not all accounted for")
    removed = sum(run.removed_complete + run.removed_incomplete for run in runs)
    last = max(last or 0, *(run.last_removed for run in runs), 0)
    if missing := last - count - removed:
        yield Finding("", f"{missing} of {last} sequence numbers have no row")
    for run in runs:
        for state, said in (
            ("complete", run.complete - run.removed_complete),
            ("incomplete", run.incomplete - run.removed_incomplete),
        ):
            found = counted.get((run.id, state), 0)
            if found != said:
                yield Finding("", f"run {run.id}: {said} {state}, and {found} rows")


def _check_threads(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Check that each exchange is in the thread of the one it goes on from."""
    before = exchanges.alias()
    row = exchanges.c
    strayed = (
        select(row.id)
        .outerjoin_from(exchanges, before, before.c.seq == row.parent)
        .where(
            or_(
                before.c.thread != row.thread,
                and_(row.parent.is_(None), row.thread != row.seq),
                and_(before.c.seq.is_(None), row.parent.is_not(None), _none_removed()),
            )
        )
    )
    for (name,) in connection.execute(*bound(strayed)):
        yield Finding(name, "its thread is not the one of the exchange before it")


def _check_judgements(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Check that each verdict has a judgement, and each judgement its exchange."""
    row, judged = exchanges.c, judgements.c.seq
    bare = select(row.id).where(
        row.verdict.is_not(None), row.seq.not_in(select(judged))
    )
    for (name,) in connection.execute(*bound(bare)):
        yield Finding(name, "it has a verdict, and nothing tells of what")
    loose = select(func.count()).where(judged.not_in(select(row.seq)))
    (count,) = connection.execute(*bound(loose)).fetchone()
    if count:
        yield Finding("", f"{count} judgements are of no exchange that is here")


def _none_removed() -> ColumnElement[bool]:
    run = epochs_table.c
    gone = func.sum(run.removed_complete + run.removed_incomplete)
    return select(gone).scalar_subquery() == 0


def _check_pieces(
    connection: sqlite3.Connection,
) -> Iterator[Finding | Progressed]:
    packer = Packer()
    (total,) = connection.execute(
        *bound(select(func.count()).select_from(pieces))
    ).fetchone()
    query = select(pieces.c.id, pieces.c.hash, pieces.c.data)
    for done, (number, digest, packed) in enumerate(
        connection.execute(*bound(query)), 1
    ):
        if done % 1000 == 0:
            yield Progressed(done, total, "pieces")
        try:
            data = packer.unpack(packed, max_bytes=MAX_BODY_BYTES)
        except DAMAGE as exc:
            yield Finding("", f"piece {number}: {exc}")
            continue
        if sha256(data).digest() != digest:
            yield Finding("", f"piece {number} does not have the content of its hash")
    before = nodes.alias()
    loose = (
        select(nodes.c.id)
        .outerjoin_from(nodes, before, before.c.id == nodes.c.parent)
        .where(nodes.c.depth != func.coalesce(before.c.depth + 1, 0))
    )
    for (number,) in connection.execute(*bound(loose)):
        yield Finding("", f"node {number} does not follow its parent")


def _check_rows(
    library: Library, reedit: Reedit | None
) -> Iterator[Finding | Progressed]:
    total = library.count()
    for done, row in enumerate(library.rows(), 1):
        yield from _check_row(library, row, reedit)
        if done % 100 == 0 or done == total:
            yield Progressed(done, total)


def _check_row(library: Library, row: Row, reedit: Reedit | None) -> Iterator[Finding]:
    if not row.content_kept:
        return
    try:
        kept = library.whole(row)
    except DAMAGE as exc:
        if _still_kept(library, row):
            yield Finding(row.id, str(exc))
        return
    if not kept.request_sha256:
        if _still_kept(library, row):
            yield Finding(row.id, "the bodies are missing")
        return
    for what in check(kept, reedit=reedit):
        yield Finding(row.id, what)


def _still_kept(library: Library, row: Row) -> bool:
    """Say whether a row was neither removed nor stripped since it was read."""
    query = select(exchanges.c.content_kept).where(exchanges.c.seq == row.seq)
    return bool(library.connection.execute(*bound(query)).fetchone() == (1,))
