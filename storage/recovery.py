"""At a start: names what the runs before left unfinished, from their parts."""

import sqlite3
from hashlib import sha256
from typing import NamedTuple

import msgspec
from sqlalchemy import delete, select, text, update

from storage import epochs
from storage.bodies import Packer
from storage.engines.sqlite import transaction
from storage.records import Chunk, Reason
from storage.rows import flagged, pack_chunks, unpack_chunks
from storage.statements import text_of
from storage.tables import exchanges, parts, payloads

_OPEN = text_of(
    select(exchanges.c.seq, exchanges.c.id, exchanges.c.answer_size).where(
        exchanges.c.epoch == 0,
        text("state = 'open'"),  # word for word as the index
    )
)
_PARTS = text_of(
    select(parts.c.at_byte, parts.c.data, parts.c.chunks)
    .where(parts.c.seq == 0)
    .order_by(parts.c.number)
)
_SETTLE = text_of(
    update(exchanges)
    .where(exchanges.c.seq == 0)
    .values(state="incomplete", reason="", ended_at=0, answer_size=0)
)
_FILL = text_of(
    update(payloads)
    .where(payloads.c.seq == 0)
    .values(answer_sha256=b"", kept_size=0, answer=b"", chunks=b"")
)
_EXTRAS = text_of(select(payloads.c.extras).where(payloads.c.seq == 0))
_FLAG = text_of(update(payloads).where(payloads.c.seq == 0).values(extras=b""))
_DELETE_PARTS = text_of(delete(parts).where(parts.c.seq == 0))


# Headers, edits and flags of one exchange; what no recorder of ours wrote.
_MAX_EXTRAS_BYTES = 256 * 1024 * 1024


class RecoveryReport(msgspec.Struct, frozen=True):
    """What a start found of runs that did not end cleanly."""

    unclean_epochs: int = 0
    crashed: int = 0  # rows that were open, now incomplete
    lost: int = 0  # accepted as of the last commit, and no row tells of them
    replayed: int = 0  # exchanges that only the spool held until now
    left: int = 0  # of the spool, what could not be read or written: set aside
    damaged: int = 0  # files set aside


def recover(connection: sqlite3.Connection, *, now_at: int) -> RecoveryReport:
    """Settle all runs without an end, each in one transaction.

    Only the owner of the file may call this: a run without an end is taken for dead.
    """
    crashed = lost = 0
    dead = [run for run in epochs.read(connection) if run.ended_at is None]
    for run in dead:
        with transaction(connection):
            settled = settle(connection, run.id, reason="proxy_crashed", now_at=now_at)
            lost += epochs.end(
                connection, run, ended_at=now_at, settled=len(settled), clean=False
            )
        crashed += len(settled)
    return RecoveryReport(len(dead), crashed, lost)


def settle(
    connection: sqlite3.Connection, epoch: int, *, reason: Reason, now_at: int
) -> list[str]:
    """Make a run's open rows incomplete, inside the caller's transaction.

    Shapes: returns their ids. Their answers are what their parts hold up to the first
    gap, a note that failed; behind one they are flagged `truncated_record`.
    """
    packer = Packer()
    ids: list[str] = []
    for seq, name, told_size in connection.execute(_OPEN, (epoch,)).fetchall():
        answer, chunks, seen_bytes = read_parts(connection, seq)
        size = max(told_size, seen_bytes)
        values = ("incomplete", reason, now_at, size, seq)
        connection.execute(_SETTLE, values)
        packed = packer.pack(answer), packer.pack(pack_chunks(chunks))
        digest = sha256(answer).digest()
        connection.execute(_FILL, (digest, len(answer), *packed, seq))
        if seen_bytes > len(answer):
            _flag(connection, seq, packer)
        connection.execute(_DELETE_PARTS, (seq,))
        ids.append(name)
    return ids


def _flag(connection: sqlite3.Connection, seq: int, packer: Packer) -> None:
    for (packed,) in connection.execute(_EXTRAS, (seq,)).fetchall():
        extras = packer.unpack(packed, max_bytes=_MAX_EXTRAS_BYTES)
        told = packer.pack(flagged(extras, "truncated_record"))
        connection.execute(_FLAG, (told, seq))


class Parts(NamedTuple):
    """What an open exchange has of its answer so far.

    Shapes: `answer` ends at the first gap; `seen_bytes` is where the last part ends.
    """

    answer: bytes
    chunks: tuple[Chunk, ...]
    seen_bytes: int


def read_parts(connection: sqlite3.Connection, seq: int) -> Parts:
    """Return what the parts of an open exchange hold, in order, without a hole."""
    data: list[bytes] = []
    chunks: list[Chunk] = []
    size_bytes = seen_bytes = 0
    for at_byte, part, packed in connection.execute(_PARTS, (seq,)):
        seen_bytes = at_byte + len(part)
        if at_byte == size_bytes:
            size_bytes = seen_bytes
            data.append(part)
            chunks.extend(unpack_chunks(packed))
    return Parts(b"".join(data), tuple(chunks), seen_bytes)
