"""Looks again at rows that ended, changed or were removed since they were indexed.

A row leaves the list of the changed only once the index tells the same on disk.
"""

import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeAlias

from pyroaring import BitMap

from storage.engines.sqlite import transaction
from storage.index import texts
from storage.index.cleansing import note_dropped
from storage.index.documents import documents
from storage.index.facets import TOOL, Row, add_rows, is_open, rows_of, seq_of
from storage.index.file import BLOCK_ROWS, TEXT_ROWS, synced
from storage.index.spans import widen
from storage.index.worktop import Worktop
from storage.queries.content import Reader

Change: TypeAlias = Callable[[sqlite3.Connection], None]
Settle: TypeAlias = Callable[[Change], None]
"""Runs a change in a transaction of the one who writes the database."""

WORDS = "words"
_OF_CONTENT = (WORDS, TOOL, f"~{TOOL}")

_MOST_ROWS = 1024
_CHANGED = "SELECT seq FROM changed WHERE seq <= ? ORDER BY seq LIMIT ?"
_NEVER = (
    "SELECT seq FROM changed WHERE seq > ? AND NOT EXISTS "
    "(SELECT 1 FROM exchanges WHERE exchanges.seq = changed.seq) LIMIT ?"
)
_STILL = (
    "SELECT seq FROM exchanges WHERE seq IN (SELECT value FROM json_each(?)) "
    "AND state = 'open'"
)
_KEPT = "SELECT seq FROM payloads WHERE seq IN (SELECT value FROM json_each(?))"
_DONE = "DELETE FROM changed WHERE seq = ?"


def look_again(worktop: Worktop, read: Reader | None, settle: Settle) -> bool:
    """Bring rows of one block up to date; return whether there were any."""
    indexed = worktop.progress.indexed
    torn = {part for (part,) in worktop.index.execute("SELECT part FROM torn")}
    changed = _outside(torn, worktop.main.execute(_CHANGED, (indexed, _MOST_ROWS)))
    pending = _outside(torn, worktop.index.execute("SELECT seq FROM pending"))
    ended = _ended(worktop.main, pending)[:_MOST_ROWS] if pending else []
    if not changed and not ended:
        return False
    number = (changed or ended)[0] // BLOCK_ROWS
    seqs = [s for s in {*changed, *ended} if s // BLOCK_ROWS == number]
    rows = rows_of(worktop.main, seqs)
    kept = {seq for (seq,) in worktop.main.execute(_KEPT, (str(seqs),))}
    over = {seq_of(row) for row in rows if not is_open(row)} & {*pending}
    late = [s for s in sorted(over & kept) if s <= worktop.progress.worded]
    with synced(worktop.index):
        again = _replace(worktop, rows, kept=kept, seqs=seqs)
        if read is not None:
            for seq in late:
                add_words(worktop, read, seq, seq + 1)
        worktop.block(number).save()
        if len(rows) < len(seqs):
            worktop.fields.drop_unused()
        if not kept.issuperset(done := {*changed} & {*seqs}):
            note_dropped(worktop.index)
    settled = [s for s in done if s // TEXT_ROWS not in again]
    if settled:
        settle(_settling(settled, rows))
    return True


def settle_never_seen(worktop: Worktop, settle: Settle) -> bool:
    """Take rows off the list that went before the index had them."""
    values = (worktop.progress.indexed, _MOST_ROWS)
    seqs = [seq for (seq,) in worktop.main.execute(_NEVER, values)]
    if seqs:
        settle(_settling(seqs, []))
    return bool(seqs)


def _outside(torn: set[int], rows: Iterable[tuple[int]]) -> list[int]:
    return [seq for (seq,) in rows if seq // TEXT_ROWS not in torn]


def _ended(main: sqlite3.Connection, pending: list[int]) -> list[int]:
    still = {seq for (seq,) in main.execute(_STILL, (str(pending),))}
    return [seq for seq in pending if seq not in still]


def _replace(
    worktop: Worktop, rows: list[Row], *, kept: set[int], seqs: list[int]
) -> set[int]:
    """Note rows anew; return the parts whose words have to be made again."""
    block = worktop.block(seqs[0] // BLOCK_ROWS)
    gone = BitMap(seq - block.first for seq in seqs if seq not in kept)
    worded = block.having(WORDS, 0) & gone
    torn = {(block.first + low) // TEXT_ROWS for low in worded}
    worktop.index.executemany(
        "INSERT OR REPLACE INTO torn (part, next) VALUES (?, ?)",
        [(part, part * TEXT_ROWS) for part in torn],
    )
    block.forget(gone)
    block.forget(
        BitMap(seq - block.first for seq in seqs if seq in kept), keep=_OF_CONTENT
    )
    add_rows(block, rows)
    widen(worktop.index, ((seq_of(row), int(row[1] or 0)) for row in rows))
    pending = {seq_of(row) for row in rows if is_open(row)}
    worktop.index.executemany(
        "DELETE FROM pending WHERE seq = ?",
        [(seq,) for seq in seqs if seq not in pending],
    )
    return torn


def _settling(seqs: list[int], seen: list[Row]) -> Change:
    """Return what takes rows off the list, those that are as they were seen."""
    rows = {seq_of(row): row for row in seen}

    def change(connection: sqlite3.Connection) -> None:
        now = {seq_of(row): row for row in rows_of(connection, seqs)}
        same = [(seq,) for seq in seqs if now.get(seq) == rows.get(seq)]
        connection.executemany(_DONE, same)

    return change


def add_words(worktop: Worktop, read: Reader, first: int, end: int) -> int:
    """Index the words of some rows of one part, within the caller's transaction.

    Shapes: returns the row after the last that was looked at; `end` where none is left.
    """
    part = first // TEXT_ROWS
    block = worktop.block(first // BLOCK_ROWS)
    found = list(documents(worktop.main, read, first, end))
    told = [(one.seq, one.said) for one in found if one.said is not None]
    if told:
        texts.insert(
            worktop.index, texts.name_of(part), [(seq, its.text) for seq, its in told]
        )
        block.add(WORDS, 0, [seq - block.first for seq, _ in told])
    for seq, its in told:
        for tool in its.tools:
            block.add(TOOL, tool, [seq - block.first])
    return found[-1].seq + 1 if found else end


def mend(worktop: Worktop, read: Reader | None) -> bool:
    """Make a piece of a part's words again; return whether a part was torn."""
    found = worktop.index.execute("SELECT part, next FROM torn").fetchone()
    if found is None:
        return False
    part, first = found
    end = (part + 1) * TEXT_ROWS
    block = worktop.block(part * TEXT_ROWS // BLOCK_ROWS)
    low = part * TEXT_ROWS - block.first
    its = block.having(WORDS, 0) & BitMap(range(low, low + TEXT_ROWS))
    told = []
    if read is not None and its:
        found = list(documents(worktop.main, read, first, end))
        told = [(one.seq, one.said.text) for one in found if one.said is not None]
        first = found[-1].seq + 1 if found else end
    else:
        first = end
    wanted = [(seq, text) for seq, text in told if seq - block.first in its]
    with transaction(worktop.index):
        if wanted:
            texts.insert(worktop.index, texts.name_of(part, again=True), wanted)
        values = (first, part)
        worktop.index.execute("UPDATE torn SET next = ? WHERE part = ?", values)
    if first >= end:
        with synced(worktop.index):
            texts.swap(worktop.index, part)
            worktop.index.execute("DELETE FROM torn WHERE part = ?", (part,))
            note_dropped(worktop.index)
    return True
