"""What the head of a captured request tells, read once for all that repeat it.

A client sends the same headers with every request, but for the length of its body, and
all that follows from them follows again.
"""

import msgspec

from proxy import headers
from proxy.callers import project_of
from proxy.upstream.request import Lines
from proxy.upstream.send import Upstream
from storage.records import HeaderPairs

MOST_HEADS = 512
MOST_HEAD_BYTES = 4096
"""Longer ones are not remembered. All of one upstream's take 2 MiB with one long header
each, 10 with a hundred short ones, 22 with five hundred tags (2026-11-21)."""


class Head(msgspec.Struct, frozen=True):
    """What follows from the headers of one request.

    Shapes: `key` is the caller's, in memory only, and `project` what it may read;
    `recorded` are the pairs for the record, which has the body's length anyway, and
    `onward` the lines for the upstream, whose body may have another.
    """

    control: headers.Control
    key: bytes | None
    project: str
    recorded: HeaderPairs
    onward: Lines


class Heads:
    """Reads the heads of requests to one upstream, and remembers the last ones."""

    def __init__(self, upstream: Upstream, secret: bytes) -> None:
        self._upstream = upstream
        self._secret = secret
        self._known: dict[HeaderPairs, Head] = {}

    def read(self, pairs: list[tuple[bytes, bytes]], query: bytes) -> Head:
        """Return what the head of one request tells.

        Shapes: `pairs` with names in lower case, as ASGI has them; `query` is the raw
        query string, read where no header holds a key.
        Raises: `ControlError` where an `x-spiritsafe-…` header cannot be obeyed.
        """
        repeated = tuple([pair for pair in pairs if pair[0] != b"content-length"])
        head = self._known.get(repeated)
        if head is None:
            head = self._made(repeated)
            self._remember(repeated, head)
        if query and head.key is None:
            key = headers.credential((), query)
            project = project_of(key, self._secret)
            head = msgspec.structs.replace(head, key=key, project=project)
        return head

    def _made(self, pairs: HeaderPairs) -> Head:
        control = headers.control(pairs)
        key = headers.credential(pairs)
        onward = headers.to_upstream(
            pairs,
            host=self._upstream.host,
            identity=control.identity,
            authorization=self._upstream.authorization,
            via=self._upstream.mark,
        )
        return Head(
            control,
            key,
            project_of(key, self._secret),
            headers.recorded(pairs),
            Lines(onward),
        )

    def _remember(self, pairs: HeaderPairs, head: Head) -> None:
        if sum(len(name) + len(value) for name, value in pairs) > MOST_HEAD_BYTES:
            return
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        self._known[pairs] = head
