"""Writes batches of exchanges in one transaction each; runs in the connection's thread.

Whatever takes time (splitting, hashing, compressing) is done before the transaction.
"""

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec
from sqlalchemy import bindparam, delete, select, update

from storage import judgements, statements
from storage.bodies import Packer
from storage.changes import drop_content, look
from storage.engines.sqlite import transaction
from storage.parents import Kin, Parents
from storage.pieces import Content, Pieces, content
from storage.reasks import Reasks, Turns
from storage.records import Exchange, Progress
from storage.rows import Links, exchange_row, pack_chunks, pack_extras, pack_layout
from storage.split import Cut, split
from storage.tables import epochs, exchanges, parts
from storage.threads import may_repeat

Item: TypeAlias = Exchange | Progress

_columns = exchanges.c
_UPDATE_OPEN = statements.text_of(
    update(exchanges)
    .where(_columns.seq == bindparam("seq_"))
    .values(
        status=0, first_token_at=0, completion_id="", model_served="", answer_size=0
    )
)
_FIND = statements.text_of(select(_columns.seq).where(_columns.id == ""))
_DELETE_PARTS = statements.text_of(delete(parts).where(parts.c.seq == 0))
_UPDATE_EPOCH = statements.text_of(
    update(epochs)
    .where(epochs.c.id == bindparam("id_"))
    .values(
        batches=0,
        accepted=0,
        unrecorded=0,
        complete=epochs.c.complete + bindparam("complete_"),
        incomplete=epochs.c.incomplete + bindparam("incomplete_"),
    )
)


class Tally(msgspec.Struct, frozen=True):
    """The counters of this run that rows cannot tell, as of a batch."""

    batch: int
    accepted: int
    unrecorded: int


# The last columns of `payloads` are packed: extras, answer, chunks.
_PACKED = 3

# Callers remembered: each costs a statement when it is met again.
_MOST_CALLERS = 4096


class _Draft(msgspec.Struct, frozen=True, gc=False):
    """An item with its request cut and hashed; no cuts where no content is kept.

    Shapes: `elements` has the contents of each of `cuts`.
    """

    item: Item
    skeleton: Content
    cuts: tuple[Cut, ...]
    elements: tuple[list[Content], ...]

    def digests(self) -> Iterator[bytes]:
        """Yield the digests of all that is stored once."""
        yield self.skeleton.digest
        for elements in self.elements:
            for element in elements:
                yield element.digest


_NOTHING = content(b"")
_NO_TURNS = Turns()


class _Rows:
    """The rows of one batch, by statement."""

    def __init__(self) -> None:
        self.new: list[tuple[object, ...]] = []
        self.ended: list[tuple[object, ...]] = []  # rows that were there already
        self.open: list[tuple[object, ...]] = []  # what changed in rows still open
        self.payloads: list[tuple[object, ...]] = []  # without their packed columns
        self.bodies: list[bytes] = []  # those columns, `_PACKED` to a row
        self.packed_payloads: list[tuple[object, ...]] = []
        self.pieces: list[tuple[int, bytes, int, bytes]] = []
        self.callers: list[tuple[str, str, int]] = []  # seen for the first time
        self.parts: list[tuple[int, int, int, bytes, bytes]] = []
        self.judgements: list[tuple[object, ...]] = []
        self.reasks: list[tuple[int, int, int, str]] = []
        self.asked_again: list[int] = []  # by the proxy
        self.forgotten: list[int] = []  # what open rows had kept until now
        self.names: set[str] = set()  # of the exchanges that ended
        self.complete = 0
        self.incomplete = 0


class Writer:
    """Numbers, links and inserts; one for each opening of the connection.

    To be thrown away when `write` raises: what it remembers may not be in the file.
    """

    def __init__(self, connection: sqlite3.Connection, *, epoch: int) -> None:
        self._connection = connection
        self._epoch = epoch
        self._packer = Packer()
        self._pieces = Pieces(connection)
        self._parents = Parents(connection)
        self._reasks = Reasks(connection, self._parents)
        self._last_seq: int = connection.execute(
            "SELECT max((SELECT coalesce(max(seq), 0) FROM exchanges), "
            "(SELECT coalesce(max(last_removed), 0) FROM epochs))"
        ).fetchone()[0]
        (self._batch,) = connection.execute(
            "SELECT batches FROM epochs WHERE id = ?", (epoch,)
        ).fetchone()
        self._open = _open_rows(connection, epoch)  # id to seq and number of parts
        self._callers: set[str] = set()  # who is in the file; the last ones met

    def write(self, items: Sequence[Item], tally: Tally) -> None:
        """Commit these items, on disk when this returns.

        A batch that is in the file already, by its number, is not written again: that
        is how a commit whose outcome was unknown is repeated.
        Raises: `sqlite3.Error`; `ValueError`, `TypeError` or `OverflowError` where an
        item holds what no column takes.
        """
        if tally.batch <= self._batch:
            return
        rows = _Rows()
        drafts = [self._draft(item) for item in items]
        self._pieces.look_up(itertools.chain.from_iterable(map(_Draft.digests, drafts)))
        for draft in drafts:
            if isinstance(draft.item, Exchange):
                self._end(draft.item, draft, rows)
            else:
                self._go_on(draft.item, draft, rows)
        self._pack(rows)
        self._commit(rows, tally)
        self._batch = tally.batch
        self._pieces.written()
        self._parents.written()
        self._reasks.written()

    def _draft(self, item: Item) -> _Draft:
        """Cut and hash the request, unless the item needs none of it."""
        exchange = item if isinstance(item, Exchange) else item.exchange
        goes_on = exchange is not item and exchange.id in self._open
        if goes_on or not exchange.content_kept:
            return _Draft(item, _NOTHING, (), ())
        parted = split(exchange.request)
        elements = tuple([content(raw) for raw in cut.elements] for cut in parted.cuts)
        return _Draft(item, content(parted.skeleton), parted.cuts, elements)

    def _end(self, exchange: Exchange, draft: _Draft, rows: _Rows) -> None:
        known = self._open.pop(exchange.id, None)
        seq = self._next_seq() if known is None else known[0]
        target = rows.new if known is None else rows.ended
        rows.names.add(exchange.id)
        if known is not None and not exchange.content_kept:
            rows.forgotten.append(seq)
        self._add(exchange, draft, seq=seq, rows=rows, target=target)
        if exchange.judgements:
            rows.judgements += judgements.rows(exchange, seq)
        if exchange.state == "complete":
            rows.complete += 1
        else:
            rows.incomplete += 1

    def _go_on(self, progress: Progress, draft: _Draft, rows: _Rows) -> None:
        exchange = progress.exchange
        known = self._open.get(exchange.id)
        if known is None and self._has_ended(exchange.id, rows):
            return  # what comes too late must not fail its batch
        if known is None:
            known = (self._next_seq(), 0)
            self._add(exchange, draft, seq=known[0], rows=rows, target=rows.new)
        elif not exchange.content_kept:  # perhaps no more: what was noted goes
            self._add(exchange, draft, seq=known[0], rows=rows, target=rows.ended)
            rows.forgotten.append(known[0])
        else:
            rows.open.append(
                (
                    exchange.status,
                    exchange.first_token_at,
                    exchange.completion_id,
                    exchange.model_served,
                    exchange.answer_size,
                    known[0],
                )
            )
        seq, number = known
        if progress.part and exchange.content_kept:
            chunks = pack_chunks(progress.chunks)
            at_byte = progress.at_byte
            rows.parts.append((seq, number, at_byte, progress.part, chunks))
            number += 1
        self._open[exchange.id] = (seq, number)

    def _has_ended(self, name: str, rows: _Rows) -> bool:
        """Ask the file: it is asked once for what runs long, and costs no memory."""
        if name in rows.names:
            return True
        return self._connection.execute(_FIND, (name,)).fetchone() is not None

    def _next_seq(self) -> int:
        self._last_seq += 1
        return self._last_seq

    def _add(
        self,
        exchange: Exchange,
        draft: _Draft,
        *,
        seq: int,
        rows: _Rows,
        target: list[tuple[object, ...]],
    ) -> None:
        node, turns = None, _NO_TURNS
        parent = self._parents.named(exchange)
        if exchange.content_kept:
            turns, parent = self._add_payload(
                exchange, draft, seq=seq, rows=rows, parent=parent
            )
            node = turns.chain[-1] if turns.chain else None
        thread = seq if parent is None else parent.thread
        links = Links(node, None if parent is None else parent.seq, thread)
        row = exchange_row(exchange, seq=seq, epoch=self._epoch, links=links)
        target.append(row)
        if exchange.project not in self._callers:
            self._meet(exchange, rows)
        if exchange.judgements or exchange.asks_again:
            link = self._reasks.link(exchange, seq=seq, parent=parent, turns=turns)
            if link is not None:
                rows.reasks.append((seq, link.rejected, link.root, link.by))
            if link is not None and link.by == "proxy":
                rows.asked_again.append(link.rejected)
        keys = b"".join(exchange.answer_keys)
        kin = Kin(seq, thread, exchange.project, keys, exchange.verdict)
        self._parents.add(kin, node=node, completion_id=exchange.completion_id)

    def _meet(self, exchange: Exchange, rows: _Rows) -> None:
        """Have a caller in the file: the project of its own, if it is new."""
        if len(self._callers) >= _MOST_CALLERS:
            self._callers.clear()
        self._callers.add(exchange.project)
        rows.callers.append((exchange.project, exchange.project, exchange.created_at))

    def _add_payload(
        self,
        exchange: Exchange,
        draft: _Draft,
        *,
        seq: int,
        rows: _Rows,
        parent: Kin | None,
    ) -> tuple[Turns, Kin | None]:
        pieces = self._pieces
        tools_node, turns = None, _NO_TURNS
        for cut, elements in zip(draft.cuts, draft.elements, strict=True):
            chain = pieces.chain(elements)
            if cut.member == "tools":
                tools_node = chain[-1]
                continue
            turns = Turns(cut.elements, chain, pieces.first_new_node)
            if parent is None and may_repeat(exchange.request):
                parent = self._parents.answered(
                    exchange,
                    elements=cut.elements,
                    chain=chain,
                    first_new=turns.first_new,
                )
        rows.payloads.append(
            (
                seq,
                pieces.piece(draft.skeleton),
                pack_layout(draft.cuts),
                tools_node,
                exchange.request_sha256,
                exchange.sent_sha256,
                exchange.answer_sha256,
                len(exchange.answer),
            )
        )
        rows.bodies += (
            pack_extras(exchange),
            exchange.answer,
            pack_chunks(exchange.chunks),
        )
        return turns, parent

    def _pack(self, rows: _Rows) -> None:
        """Pack all that is packed, before the transaction."""
        new = self._pieces.new_pieces
        packed = self._packer.pack_all(rows.bodies + [data for _, _, data in new])
        for at, row in enumerate(rows.payloads):
            columns = packed[at * _PACKED : (at + 1) * _PACKED]
            rows.packed_payloads.append((*row, *columns))
        for (number, digest, data), body in zip(
            new, packed[len(rows.bodies) :], strict=True
        ):
            rows.pieces.append((number, digest, len(data), body))

    def _commit(self, rows: _Rows, tally: Tally) -> None:
        connection = self._connection
        inserts: tuple[tuple[str, Sequence[Sequence[object]]], ...] = (
            (statements.INSERT_PIECE, rows.pieces),
            (statements.INSERT_NODE, self._pieces.new_nodes),
            (statements.INSERT_EXCHANGE, rows.new),
            (statements.REPLACE_EXCHANGE, rows.ended),
            (statements.INSERT_PAYLOAD, rows.packed_payloads),
            (statements.INSERT_CALLER, rows.callers),
            (statements.INSERT_PART, rows.parts),
            (statements.INSERT_JUDGEMENT, rows.judgements),
            (statements.INSERT_REASK, rows.reasks),
        )
        counts = (tally.batch, tally.accepted, rows.complete, rows.incomplete)
        with transaction(connection):
            forgotten = look(connection, rows.forgotten)
            for statement, values in inserts:
                statements.insert_rows(connection, statement, values)
            if rows.open:
                connection.executemany(_UPDATE_OPEN, rows.open)
            if rows.ended:
                connection.executemany(_DELETE_PARTS, [row[:1] for row in rows.ended])
            if rows.asked_again:
                judgements.follow(connection, rows.asked_again)
            if forgotten:
                drop_content(connection, forgotten)
            connection.execute(_UPDATE_EPOCH, (*counts, tally.unrecorded, self._epoch))


def _open_rows(
    connection: sqlite3.Connection, epoch: int
) -> dict[str, tuple[int, int]]:
    rows = connection.execute(
        "SELECT id, seq, (SELECT coalesce(max(number) + 1, 0) FROM parts "
        "WHERE parts.seq = exchanges.seq) "
        "FROM exchanges WHERE epoch = ? AND state = 'open'",
        (epoch,),
    )
    return {name: (seq, number) for name, seq, number in rows}
