"""Mixed load: clients and an upstream that note what they saw, by nonce."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from tests.crash.oracle import Attempt, Hit, Key, Sums
from tests.crash.running import metrics, sums_of
from tests.living import RawClient
from tests.scripted_upstream import DONE, SSE_HEAD, RawRequest, Wire, completion, delta

Kind: TypeAlias = Literal["unary", "stream", "cut unary", "cut stream", "busy", "gone"]

KINDS: dict[Kind, int] = {
    "unary": 40,
    "stream": 40,
    "cut unary": 4,
    "cut stream": 8,
    "busy": 4,  # the upstream answers 429
    "gone": 4,  # the upstream leaves without an answer: the proxy's own 502
}

LANES = 40

# What a connection raises when the other side is gone.
LOST = (asyncio.IncompleteReadError, OSError)


class Ask(NamedTuple):
    """What an upstream is told to do, in the request itself."""

    nonce: str
    number: int
    kind: Kind
    events: int
    pause_s: float
    size_bytes: int

    def text(self) -> str:
        """Return it as the content of a message."""
        return json.dumps(self)


def asked(body: bytes) -> Ask:
    """Return what a request body asks for."""
    return Ask(*json.loads(json.loads(body)["messages"][-1]["content"]))


@dataclass
class World:
    """What clients and the upstream have seen so far, over all runs of the program."""

    seed: int
    attempts: list[Attempt] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)
    unfinished: list[Key] = field(default_factory=list)  # to be tried again
    first_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._nonces = (f"n{number}" for number in itertools.count(1))

    def ask(self) -> Ask:
        """Return what to ask next: now and then once more what did not end."""
        choose = self.random
        again = self.unfinished and choose.random() < 0.5
        nonce, number = self.unfinished.pop() if again else (next(self._nonces), 0)
        (kind,) = choose.choices(list(KINDS), list(KINDS.values()))
        if choose.random() < 0.15:  # longer than a second: saved before they end
            return Ask(nonce, number + 1, kind, 20, choose.uniform(0.06, 0.12), 40)
        size_bytes = choose.choice((20, 20, 300, 5000, 90_000))
        events = choose.randint(3, 20)
        pause_s = choose.uniform(0, 0.1)
        return Ask(nonce, number + 1, kind, events, pause_s, size_bytes)

    async def play(self, request: RawRequest, wire: Wire) -> None:
        """Be the upstream: do as the request asks."""
        ask = asked(request.body)
        hit = Hit(key=Key(ask.nonce, ask.number))
        self.hits.append(hit)
        await asyncio.sleep(ask.pause_s)
        if ask.kind == "gone":
            hit.ending = "cut"
            wire.reset()
        elif ask.kind in ("stream", "cut stream"):
            await stream(ask, hit, wire)
        else:
            await answer(ask, hit, wire)

    async def client(self, port: int, stop: asyncio.Event) -> None:
        """Ask and ask again, until the proxy is gone or told to stop."""
        talk: list[dict[str, str]] = []
        while not stop.is_set():
            try:
                async with RawClient.connect(port) as client:
                    while not stop.is_set():
                        talk = talk[:8] if len(talk) < 8 else []
                        if not await self._call(client, talk):
                            break
            except ConnectionRefusedError:
                return
            except LOST:
                continue

    async def _call(self, client: RawClient, talk: list[dict[str, str]]) -> bool:
        """Make one attempt and note it; return whether the connection is of use."""
        ask = self.ask()
        talk.append({"role": "user", "content": ask.text()})
        body = json.dumps(
            {"model": "m", "stream": ask.kind.endswith("stream"), "messages": talk}
        ).encode()
        attempt = Attempt(nonce=ask.nonce, number=ask.number, request=body)
        self.attempts.append(attempt)
        leave_at = self.random.randint(0, 3) if self.random.random() < 0.1 else None
        try:
            stays = await follow(client, attempt, leave_at)
        finally:
            self.noted(attempt)
            if not attempt.ended and leave_at is None and attempt.number < 4:
                self.unfinished.append(attempt.key)
        talk.append({"role": "assistant", "content": f"answer to {ask.nonce}"})
        return stays

    def noted(self, attempt: Attempt) -> None:
        """Note an attempt that is over."""
        if attempt.ended:
            self.first_end.set()

    async def watch(self, port: int, stop: asyncio.Event) -> None:
        """Read /metrics until the proxy is gone."""
        with contextlib.suppress(*LOST):
            while not stop.is_set():
                self.sums.append(sums_of(await metrics(port)))
                await asyncio.sleep(0.05)

    async def run(
        self, port: int, end: Callable[[], Awaitable[None]], *, lanes: int = LANES
    ) -> None:
        """Put load on a proxy until `end`, which is called after the first answer."""
        self.first_end.clear()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self.client(port, stop))
            group.create_task(self.watch(port, stop))
            await self.first_end.wait()
            await end()
            stop.set()


async def stream(ask: Ask, hit: Hit, wire: Wire) -> None:
    """Answer event by event; a cut one ends without its end, now this way, now that."""
    await wire.send(SSE_HEAD)
    cut = ask.kind == "cut stream"
    words = f"{ask.nonce}/{ask.number} " + "x" * (ask.size_bytes // ask.events)
    for number in range(ask.events):
        if cut and number == ask.events // 2:
            hit.ending = "cut"
            (wire.reset if ask.events % 2 else wire.close)()
            return
        await asyncio.sleep(ask.pause_s)
        finish = "stop" if number == ask.events - 1 else None
        await tell(hit, wire, delta(f"{words}{number} ", finish))
    hit.ending = "completed"
    await tell(hit, wire, DONE)
    await wire.send(b"0\r\n\r\n")


async def tell(hit: Hit, wire: Wire, event: bytes) -> None:
    """Send one event, noted before anybody can have seen it."""
    hit.said += event
    await wire.send(b"%x\r\n%b\r\n" % (len(event), event))


async def answer(ask: Ask, hit: Hit, wire: Wire) -> None:
    """Answer in one piece; a cut one is shorter than its head says."""
    body = completion(f"{ask.nonce}/{ask.number} " + "x" * ask.size_bytes)
    status = 429 if ask.kind == "busy" else 200
    if ask.kind != "cut unary":
        hit.said, hit.ending = body, "completed"
        await wire.answer(body, status=status)
        return
    hit.said, hit.ending = body[: len(body) // 2], "cut"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    await wire.send(head + b"content-length: %d\r\n\r\n" % len(body) + hit.said)
    wire.close()


async def follow(client: RawClient, attempt: Attempt, leave_at: int | None) -> bool:
    """Send a request and note its answer as it comes.

    Shapes: `leave_at` is the number of reads after which the client hangs up. Returns
    whether the connection can be used again.
    """
    await client.post("/v1/chat/completions", attempt.request)
    if leave_at == 0:
        return False
    attempt.status, headers = await client.head()
    attempt.id = headers["x-spiritsafe-id"]
    attempt.refused = "x-spiritsafe-error" in headers
    assert headers["x-spiritsafe-recorded"] == "yes"
    reads = 0
    while not attempt.clean:
        try:
            attempt.clean = await read_some(client, attempt, headers)
        except asyncio.IncompleteReadError as exc:
            attempt.seen += exc.partial
            raise
        finally:
            whole = str(len(attempt.seen)) == headers.get("content-length")
            attempt.ended = whole or attempt.seen.endswith(DONE)
        reads += 1
        if reads == leave_at:
            return False
    return headers.get("connection") != "close"


async def read_some(
    client: RawClient, attempt: Attempt, headers: dict[str, str]
) -> bool:
    """Read a little more of a body; return whether the framing says it is over."""
    if "content-length" in headers:
        missing = int(headers["content-length"]) - len(attempt.seen)
        piece = await client.reader.read(min(missing, 65536))
        attempt.seen += piece
        if not piece:
            raise asyncio.IncompleteReadError(b"", missing)
        return len(piece) == missing
    assert headers["transfer-encoding"] == "chunked"
    try:
        line = await client.reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError as exc:
        raise asyncio.IncompleteReadError(b"", None) from exc
    size = int(line.strip(), 16)
    attempt.seen += await client.reader.readexactly(size)
    await client.reader.readexactly(2)
    return not size
