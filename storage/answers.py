"""Reads the answers of many exchanges at once, for those who look at answers alone."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import msgspec
import orjson
from sqlalchemy import Text, bindparam, func, select

from storage.bodies import Packer
from storage.records import Endpoint, HeaderPairs, State
from storage.rows import unpack_extras
from storage.statements import Prepared
from storage.tables import exchanges, payloads

MAX_BODY_BYTES = 256 * 1024 * 1024

_row, _payload = exchanges.c, payloads.c
_columns = select(
    _row.seq, _row.id, _row.endpoint, _row.state, _row.status, _row.streamed,
    _row.content_kept, _row.answer_size, _row.verdict, _payload.kept_size,
    _payload.extras, _payload.answer,
).outerjoin_from(exchanges, payloads, _payload.seq == _row.seq)  # fmt: skip
_given = func.json_each(bindparam("seqs", type_=Text())).table_valued("value").c.value
_AMONG = Prepared(_columns.where(_row.seq.in_(select(_given))).order_by(_row.seq))
_BETWEEN = Prepared(
    _columns.where(_row.seq.between(bindparam("low"), bindparam("high"))).order_by(
        _row.seq
    )
)

Chosen: TypeAlias = tuple[int, int] | Sequence[int]
"""The first and the last number of some rows, as a tuple; or a list of numbers."""


class Answered(msgspec.Struct, frozen=True, gc=False):
    """An exchange with its answer as it is packed; None where no content is kept."""

    seq: int
    id: str
    endpoint: Endpoint
    state: State
    status: int
    streamed: int
    content_kept: int
    answer_size: int
    verdict: str | None
    kept_size: int | None
    extras: bytes | None
    answer: bytes | None


class Answers:
    """Reads through one connection; belongs to one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._packer = Packer()

    def of(self, chosen: Chosen) -> Iterator[Answered]:
        """Yield those of some exchanges that are there, in their order."""
        if isinstance(chosen, tuple):
            low, high = chosen
            query, values = _BETWEEN, {"low": low, "high": high}
        else:
            query, values = _AMONG, {"seqs": orjson.dumps(list(chosen)).decode()}
        for row in self._connection.execute(query.text, query.values(values)):
            yield Answered(*row)

    def body(self, answered: Answered) -> bytes:
        """Return the answer's bytes. Raises: as `Packer.unpack`."""
        return self._packer.unpack(answered.answer or b"\0", max_bytes=MAX_BODY_BYTES)

    def headers(self, answered: Answered) -> HeaderPairs:
        """Return the answer's headers. Raises: as `Packer.unpack`."""
        if answered.extras is None:
            return ()
        packed = self._packer.unpack(answered.extras, max_bytes=MAX_BODY_BYTES)
        return unpack_extras(packed).answer_headers
