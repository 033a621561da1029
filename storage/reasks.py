"""Finds the exchanges that ask again for what another one answered wrongly.

They are the pairs to learn from: one prompt, an answer that was rejected, a better one.
"""

import sqlite3
from collections.abc import Sequence
from itertools import islice
from typing import Literal, TypeAlias

import msgspec
from sqlalchemy import select

from storage.parents import Kin, Parents
from storage.records import Exchange
from storage.statements import text_of
from storage.tables import exchanges, judgements, reasks
from storage.threads import message_key

By: TypeAlias = Literal["client", "proxy"]

# What follows a wrong answer: its errors, a message for each call of a tool.
_MOST_ERRORS = 16

# At both ends of a message: what it is about stands there, and the writer waits for
# the look, some 10 µs.
_ENDS_CHARACTERS = 1000

# How Instructor, Pydantic AI, LangChain, Guardrails and people say that an answer was
# wrong. Without it a conversation that just goes on would be taken for a correction.
_SPEAKS_OF_ERRORS = (
    "error", "invalid", "incorrect", "correct the", "correct your", "malformed",
    "validat", "not satisfy", " fix", "try again",
)  # fmt: skip

_ROLES = frozenset({"user", "tool", "function"})
_RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})

_judged = judgements.c
_INVALID = text_of(
    select(_judged.schema, _judged.digest).where(
        _judged.seq == 0, _judged.verdict == ""
    )
)
_ROOT = text_of(select(reasks.c.root).where(reasks.c.seq == 0))
_SEQ = text_of(select(exchanges.c.seq).where(exchanges.c.id == ""))
_LINK = text_of(
    select(reasks.c.rejected, reasks.c.root, reasks.c.by).where(reasks.c.seq == 0)
)


class _Part(msgspec.Struct):
    text: str = ""


class _Message(msgspec.Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_Part] | None = None
    output: str | list[_Part] | None = None


class _Asked(msgspec.Struct):
    input: str | msgspec.Raw = ""


class Link(msgspec.Struct, frozen=True):
    """What an exchange asks again for, as numbers of rows.

    Shapes: `rejected` is the attempt before, `root` the first of all, which has the
    prompt as it was meant; `by` tells who asked again.
    """

    rejected: int
    root: int
    by: By


class Turns(msgspec.Struct, frozen=True, gc=False):
    """The messages of a request, and the node of each prefix of them."""

    elements: Sequence[bytes | msgspec.Raw] = ()
    chain: Sequence[int] = ()
    first_new: int = 0


_message_decoder = msgspec.json.Decoder(_Message)
_asked_decoder = msgspec.json.Decoder(_Asked)


class Reasks:
    """Links attempts, in the file and among the rows of the batch at hand."""

    def __init__(self, connection: sqlite3.Connection, parents: Parents) -> None:
        self._connection = connection
        self._parents = parents
        self._seqs: dict[str, int] = {}
        self._roots: dict[int, int] = {}
        self._invalid: dict[int, set[str | bytes]] = {}

    def written(self) -> None:
        """Forget the batch: its rows are in the file."""
        self._seqs.clear()
        self._roots.clear()
        self._invalid.clear()

    def link(
        self, exchange: Exchange, *, seq: int, parent: Kin | None, turns: Turns
    ) -> Link | None:
        """Return what a judged exchange asks again for; None where it does not.

        Shapes: `parent` is what it goes on from. To be called in the order of `seq`.
        """
        found = self._by_proxy(exchange) or self._by_client(exchange, parent, turns)
        if exchange.verdict == "invalid":
            self._invalid[seq] = _schemas(exchange, only="invalid")
        if exchange.judgements:
            self._seqs[exchange.id] = seq
        if found is not None:
            self._roots[seq] = found.root
        return found

    def _by_proxy(self, exchange: Exchange) -> Link | None:
        name = exchange.asks_again
        if not name:
            return None
        rejected = self._seqs.get(name) or self._number(_SEQ, name)
        return None if rejected is None else self._to(rejected, by="proxy")

    def _by_client(
        self, exchange: Exchange, parent: Kin | None, turns: Turns
    ) -> Link | None:
        if not exchange.judgements:
            return None
        if parent is not None:
            if parent.verdict != "invalid":
                return None
            if not asks_to_correct(exchange.request, turns.elements):
                return None
        else:
            parent = self._unanswered(exchange, turns)
        if parent is None or self._wrong(parent).isdisjoint(_schemas(exchange)):
            return None
        return self._to(parent.seq, by="client")

    def _unanswered(self, exchange: Exchange, turns: Turns) -> Kin | None:
        """Return an exchange whose messages these are but for some that tell errors.

        A client that streams has no answer to repeat when it asks again, and for
        Responses Instructor quotes the arguments instead (wire.md 7.4).
        """
        elements, chain = turns.elements, turns.chain
        if len(elements) < 2 or not _tells_error(bytes(elements[-1])):
            return None
        least = max(len(elements) - _MOST_ERRORS, 1)
        for left in range(len(elements) - 1, least - 1, -1):
            element = bytes(elements[left])
            if not _tells_error(element) and message_key(element) is None:
                return None
            kin = self._parents.asked(exchange, chain[left - 1], turns.first_new)
            if kin is not None:
                return kin
        return None

    def _to(self, rejected: int, *, by: By) -> Link:
        root = self._roots.get(rejected) or self._number(_ROOT, rejected)
        return Link(rejected, root or rejected, by)

    def _wrong(self, parent: Kin) -> set[str | bytes]:
        """Return names and digests of the schemas that the parent's answer broke."""
        known = self._invalid.get(parent.seq)
        if known is not None:
            return known
        rows = self._connection.execute(_INVALID, (parent.seq, "invalid"))
        return {told for row in rows for told in row}

    def _number(self, query: str, value: str | int) -> int | None:
        row = self._connection.execute(query, (value,)).fetchone()
        return None if row is None else int(row[0])


def link_of(connection: sqlite3.Connection, seq: int) -> Link | None:
    """Return what the exchange of a row asks again for."""
    row = connection.execute(_LINK, (seq,)).fetchone()
    return None if row is None else Link(*row)


def _schemas(exchange: Exchange, only: str = "") -> set[str | bytes]:
    return {
        told
        for judged in exchange.judgements
        if not only or judged.verdict == only
        for told in (judged.schema, judged.digest)
    }


def asks_to_correct(request: bytes, elements: Sequence[bytes | msgspec.Raw]) -> bool:
    """Return whether all that is new behind the last answer tells of errors.

    Shapes: `elements` are the messages of the request; () where its `input` is a text.
    """
    new = _after_answer(request, elements)
    return bool(new) and all(map(_tells_error, new))


def _after_answer(
    request: bytes, elements: Sequence[bytes | msgspec.Raw]
) -> list[bytes]:
    """Return what is new behind the last answer that a request repeats."""
    if not elements:  # a Responses `input` that is one text
        try:
            asked = _asked_decoder.decode(request)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        if not isinstance(asked.input, str):
            return []
        return [msgspec.json.encode({"role": "user", "content": asked.input})]
    new: list[bytes] = []
    for element in islice(reversed(elements), _MOST_ERRORS):
        raw = bytes(element)
        if message_key(raw) is not None:
            break
        new.append(raw)
    return new


def _tells_error(element: bytes) -> bool:
    """Return whether a message tells what was wrong with the answer before it."""
    try:
        said = _message_decoder.decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if said.role not in _ROLES and said.type not in _RESULTS:
        return False
    content = said.content if said.role else said.output
    if isinstance(content, list):
        content = "\n".join(part.text for part in content)
    whole = content or ""
    ends = whole[:_ENDS_CHARACTERS] + whole[_ENDS_CHARACTERS:][-_ENDS_CHARACTERS:]
    text = f" {ends.lower()}"
    return any(words in text for words in _SPEAKS_OF_ERRORS)


__all__ = ["Link", "Reasks", "Turns", "asks_to_correct", "link_of"]
