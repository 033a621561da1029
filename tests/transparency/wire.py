"""Requests and answers as bytes: what a test sends, and what came of it."""

from typing import NamedTuple

from tests.living import RawClient
from tests.scripted_upstream import RawRequest, Script, Wire, completion

Pairs = list[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """One answer. Shapes: `pairs` in order, with duplicates, spelled as they came."""

    status: int
    pairs: Pairs
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of one header, in order."""
        return [value for spelled, value in self.pairs if spelled.lower() == name]


def pairs_of(head: bytes) -> Pairs:
    """Return the header pairs of a head, its first line aside."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")[1:]
    return [(name, value) for name, _, value in (it.partition(b": ") for it in lines)]


def sent(request: RawRequest, name: bytes) -> list[bytes]:
    """Return the values of one header as the upstream got it, in order."""
    pairs = pairs_of(request.head)
    return [value for spelled, value in pairs if spelled.lower() == name]


def request(
    method: str,
    target: bytes,
    *lines: bytes,
    body: bytes | None = None,
    version: bytes = b"1.1",
) -> bytes:
    """Return a request; `host` is added where no line has one, and a body's length."""
    head = [b"%b %b HTTP/%b" % (method.encode(), target, version)]
    if not any(line.lower().startswith(b"host:") for line in lines):
        head.append(b"host: 127.0.0.1")
    head += lines
    if body is not None:
        head.append(b"content-length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + (body or b"")


def chat(body: bytes, *lines: bytes) -> bytes:
    """Return a captured request with this body."""
    kind = b"content-type: application/json"
    return request("POST", b"/v1/chat/completions", kind, *lines, body=body)


async def answer(client: RawClient, method: str = "GET") -> Answer:
    """Read one whole answer from a connection that stays open."""
    head = await client.reader.readuntil(b"\r\n\r\n")
    pairs = pairs_of(head)
    status = int(head.split(b" ", 2)[1])
    if method == "HEAD" or status in {100, 204, 304}:
        return Answer(status, pairs, b"")
    framing = {name.decode().lower(): value.decode("latin-1") for name, value in pairs}
    return Answer(status, pairs, await client.body(framing))


async def ask(client: RawClient, data: bytes) -> Answer:
    """Send one whole request and read its answer."""
    await client.send(data)
    return await answer(client, data.split(b" ", 1)[0].decode())


def saying(raw: bytes) -> Script:
    """Return a script that answers every request with these bytes."""

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.send(raw)

    return script


def whole(body: bytes, *lines: bytes, status: int = 200) -> bytes:
    """Return a whole JSON answer with these header lines too."""
    head = [
        b"HTTP/1.1 %d Said" % status,
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


PLAIN = saying(whole(completion()))
