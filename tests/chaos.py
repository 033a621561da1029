"""Upstreams that misbehave, by name: delays, slices, cuts, lies in framing, garbage.

An act says its lines in its own way and notes, before anybody can have heard it, what
it said and whether it came to its end. It is the vocabulary of Toxiproxy, with the lies
of HTTP beside it. `script_of` makes any act a script for `scripted_upstream`; the load
of `tests/crash/load.py` has its acts chosen in the requests themselves.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from tests.crash.oracle import Hit, Key
from tests.scripted_upstream import (
    DONE,
    SSE_HEAD,
    RawRequest,
    Script,
    Wire,
    completion,
    delta,
)


class Lines(NamedTuple):
    """What an upstream has to say: the events of a stream, or else one body.

    Units: `pause_s` lies before the head and between events.
    """

    body: bytes
    events: tuple[bytes, ...] = ()
    pause_s: float = 0.0

    @property
    def all(self) -> bytes:
        """The answer's whole body."""
        return b"".join(self.events) or self.body


Act: TypeAlias = Callable[[Lines, Hit, Wire], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    """Return the data as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head_of(lines: Lines, *more: bytes, length: int | None = None) -> bytes:
    """Return an honest head, or one that lies about the length."""
    if lines.events:
        return SSE_HEAD
    size = len(lines.body) if length is None else length
    fields = (b"content-type: application/json", b"content-length: %d" % size, *more)
    return b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"


def raw(lines: Lines) -> bytes:
    """Return a whole honest answer."""
    if lines.events:
        return SSE_HEAD + b"".join(map(chunk, lines.events)) + b"0\r\n\r\n"
    return head_of(lines) + lines.body


def completes(lines: Lines, hit: Hit) -> None:
    """Note that all will be said."""
    hit.said, hit.ending = lines.all, "completed"


async def whole(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Answer as one should, event by event."""
    await asyncio.sleep(lines.pause_s)
    if not lines.events:
        completes(lines, hit)
        await wire.send(raw(lines))
        return
    await wire.send(SSE_HEAD)
    for event in lines.events:
        await asyncio.sleep(lines.pause_s)
        hit.said += event
        if event is lines.events[-1]:
            hit.ending = "completed"
        await wire.send(chunk(event))
    await wire.send(b"0\r\n\r\n")


async def busy(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Answer 429 (F-42)."""
    await asyncio.sleep(lines.pause_s)
    hit.said, hit.ending = lines.body, "completed"
    await wire.answer(lines.body, status=429)


async def burst(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say everything at once (F-36)."""
    completes(lines, hit)
    await wire.send(raw(lines))


async def sliced(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say everything three bytes at a time, where it is short enough (F-36)."""
    completes(lines, hit)
    said = raw(lines)
    await wire.trickle(said, size_bytes=max(3, len(said) // 500))


def cut_at(part: float, *, reset: bool) -> Act:
    """Return an act that stops after this part of its body (F-33, F-34)."""

    async def cut(lines: Lines, hit: Hit, wire: Wire) -> None:
        hit.ending = "cut"
        await asyncio.sleep(lines.pause_s)
        if lines.events:
            first = lines.events[: int(part * (len(lines.events) - 1))]
            await wire.send(SSE_HEAD)
            for event in first:
                hit.said += event
                await wire.send(chunk(event))
                await asyncio.sleep(lines.pause_s)
        else:
            hit.said = lines.body[: int(part * (len(lines.body) - 1))]
            await wire.send(head_of(lines) + hit.said)
        (wire.reset if reset else wire.close)()

    return cut


async def gone(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Leave without an answer (F-33)."""
    await asyncio.sleep(lines.pause_s)
    hit.ending = "cut"
    wire.reset()


async def mid_chunk(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Break off inside a chunk, and inside a character (F-34)."""
    hit.ending = "cut"
    said = delta("half a \N{SNOWMAN}").replace(b"\\u2603", "\N{SNOWMAN}".encode())
    half = said[: said.index(b"\xe2") + 1]
    hit.said = half
    await wire.send(SSE_HEAD + b"%x\r\n" % len(said) + half)
    wire.close()


async def no_last_chunk(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Reset after the terminal event, before the framing ends (F-33)."""
    if not lines.events:
        await cut_at(0.9, reset=True)(lines, hit, wire)
        return
    completes(lines, hit)
    await wire.send(SSE_HEAD + b"".join(map(chunk, lines.events)))
    wire.reset()


async def no_done(lines: Lines, hit: Hit, wire: Wire) -> None:
    """End the framing of a stream, but not the stream (F-34)."""
    if not lines.events:
        await burst(lines, hit, wire)
        return
    hit.said, hit.ending = b"".join(lines.events[:-1]), "completed"
    await wire.send(raw(lines._replace(events=lines.events[:-1])))


async def slow_close(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say all but the end of the framing, and keep it back (F-37)."""
    completes(lines, hit)
    await wire.send(raw(lines).removesuffix(b"0\r\n\r\n"))
    if lines.events:
        await wire.left()


async def half_close(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say all, end the sending side and stay (F-37)."""
    completes(lines, hit)
    await wire.send(raw(lines))
    wire.half_close()
    await wire.left()


async def stall_before(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say half a head and nothing more (F-35)."""
    hit.ending = "cut"
    await wire.send(b"HTTP/1.1 200 OK\r\nx-half: a he")
    await wire.left()


async def stall_within(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say half an answer and nothing more (F-35)."""
    hit.ending = "cut"
    half = lines.all[: len(lines.all) // 2]
    hit.said = half
    framed = chunk(half) if lines.events else half
    await wire.send(head_of(lines) + framed)
    await wire.left()


async def surplus(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Say all, and one forged answer more on the same connection (H-21)."""
    completes(lines, hit)
    await wire.send(raw(lines) + raw(Lines(completion("forged"))))


async def short_length(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Announce less than is said (H-21)."""
    body = lines.body
    hit.said, hit.ending = body[:-5], "completed"
    honest = Lines(body)
    await wire.send(head_of(honest, length=len(body) - 5) + body)


async def endless_head(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Begin a head and never end it (F-40)."""
    hit.ending = "cut"
    await wire.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await wire.send(b"x-more: " + b"y" * 8000 + b"\r\n")


async def interim_storm(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Send 1xx after 1xx and never the answer (H-25, F-40)."""
    hit.ending = "cut"
    while True:
        await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")


async def interim_few(lines: Lines, hit: Hit, wire: Wire) -> None:
    """Send some 1xx and then the answer (H-25)."""
    completes(lines, hit)
    await wire.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 9 + raw(lines))


def says(data: bytes) -> Act:
    """Return an act that says these bytes, which are no answer, and closes."""

    async def say(lines: Lines, hit: Hit, wire: Wire) -> None:
        hit.said, hit.ending = b"{}" if b"{}" in data else b"", "cut"
        await wire.send(data)
        wire.close()

    return say


_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

LIES = {
    "garbage": bytes(range(256)) * 40,
    "tls": b"\x15\x03\x01\x00\x02\x02\x28",
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "h2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    "status 999999": b"HTTP/1.1 999999 What\r\ncontent-length: 2\r\n\r\n{}",
    "status 099": b"HTTP/1.1 099 What\r\ncontent-length: 2\r\n\r\n{}",
    "two lengths": _OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    "length and chunked": _OK
    + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "odd length": _OK + b"content-length: +2\r\n\r\n{}",
    "folded": _OK + b"x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}",
    "odd coding": _OK + b"transfer-encoding: xchunked\r\n\r\n{}",
    "odd chunk size": _OK + b"transfer-encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "negative chunk": _OK + b"transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "chunk overrun": _OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
    "nothing but chunks": b"2\r\n{}\r\n0\r\n\r\n",
}
"""Answers that are none: each ends in a 502 or a cut, none in a clean answer (H-20)."""

SOUND: dict[str, Act] = {"whole": whole}
ROUGH: dict[str, Act] = {
    "busy": busy,
    "burst": burst,
    "sliced": sliced,
    "cut": cut_at(0.5, reset=False),
    "cut by reset": cut_at(0.5, reset=True),
    "cut after the head": cut_at(0, reset=True),
    "gone": gone,
    "mid chunk": mid_chunk,
    "no last chunk": no_last_chunk,
    "no done": no_done,
    "slow close": slow_close,
    "half close": half_close,
    "surplus": surplus,
    "short length": short_length,
    "endless head": endless_head,
    "interim storm": interim_storm,
    "interim few": interim_few,
}
STALLS: dict[str, Act] = {"stall before": stall_before, "stall within": stall_within}
"""They last as long as the proxy's patience: give it little."""

ACTS: dict[str, Act] = {
    **SOUND,
    **ROUGH,
    **STALLS,
    **{f"says {name}": says(data) for name, data in LIES.items()},
}


def lines_of(*, streamed: bool, text: str = "hello", pause_s: float = 0.0) -> Lines:
    """Return a short answer to say."""
    events = (delta(text), delta(" there", "stop"), DONE) if streamed else ()
    return Lines(completion(text), events, pause_s)


def script_of(name: str, *, hits: list[Hit] | None = None) -> Script:
    """Return a script that plays one act; `hits` gets what it said."""

    async def script(request: RawRequest, wire: Wire) -> None:
        streamed = bool(request.json.get("stream"))
        hit = Hit(key=Key(name, len(hits or ()) + 1))
        if hits is not None:
            hits.append(hit)
        await ACTS[name](lines_of(streamed=streamed), hit, wire)

    return script
