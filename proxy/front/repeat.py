"""What the last request's head was, to know it where a client sends it again.

A client repeats its headers with every request, but for the length of the body. What
llhttp found in them once it would find again: the bytes between are digits only.
"""

from typing import Any, Self

import msgspec
from uvicorn._types import HTTPScope

from proxy.front.framing import LENGTH
from proxy.front.turn import Turn

MOST_HEAD_BYTES = 4096
"""Longer ones are not remembered: one is kept for each connection."""


class Repeat(msgspec.Struct, frozen=True):
    """A head that was read, in two parts: the digits of its length stand between.

    Shapes: `lead` and `tail` are bytes of the wire, the empty line included; `scope`
    and `headers` what was made of them, the length the header at `length_at`;
    `query` and `notes` are as a turn has them.
    """

    lead: bytes
    tail: bytes
    scope: HTTPScope
    headers: list[tuple[bytes, bytes]]
    length_at: int
    query: bytes | None
    notes: dict[object, Any]

    @classmethod
    def of(cls, data: bytes, spelled: bytes, turn: Turn) -> Self | None:
        """Return the head that a request begins with, or None: it is not remembered.

        Shapes: `data` is what was read, all of that request and nothing else; `turn`
        was made of it; `spelled` is the name of its length as it was sent.
        """
        headers = list(turn.scope["headers"])
        lengths = [at for at, (name, _) in enumerate(headers) if name == LENGTH]
        stop = data.find(b"\r\n\r\n") + 4
        if len(lengths) != 1 or stop > MOST_HEAD_BYTES:
            return None
        digits = headers[lengths[0]][1]
        line = b"\r\n%b: %b\r\n" % (spelled, digits)
        at = data.find(line, 0, stop)
        if at < 0:
            return None
        behind = at + len(line) - 2
        known = cls(
            data[: behind - len(digits)],
            data[behind:stop],
            {**turn.scope, "extensions": {}},
            headers,
            lengths[0],
            turn.query,
            turn.notes,
        )
        return known if known.body(data) is not None else None

    def body(self, data: bytes) -> bytes | None:
        """Return the body of a request that has this head, or None: it is another.

        Shapes: `data` is what was read; it has to be that request and nothing else.
        """
        lead, tail = self.lead, self.tail
        if not data.startswith(lead):
            return None
        behind = data.find(b"\r", len(lead))
        if not data.startswith(tail, behind):
            return None
        body = data[behind + len(tail) :]
        return body if data[len(lead) : behind] == b"%d" % len(body) else None

    def scope_for(self, length: int) -> HTTPScope:
        """Return the scope of a request that has this head and a body so long."""
        scope = self.scope.copy()
        scope["headers"] = headers = self.headers.copy()
        headers[self.length_at] = (LENGTH, b"%d" % length)
        return scope
