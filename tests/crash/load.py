"""Mixed load: clients and an upstream that note what they saw, by nonce."""

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests import canary
from tests.chaos import ACTS, Lines
from tests.crash.oracle import Attempt, Hit, Key, Sums
from tests.crash.running import metrics, sums_of
from tests.living import RawClient
from tests.scripted_upstream import DONE, RawRequest, Wire, completion, delta

USUAL = {"whole": 80, "cut": 6, "cut by reset": 6, "busy": 4, "gone": 4}
"""How often an upstream does what, by the names of `tests/chaos.py`."""

LANES = 40

LEAVERS = 0.1
"""The part of all requests whose client leaves before the end."""

# What a connection raises when the other side is gone.
LOST = (asyncio.IncompleteReadError, OSError)


class Ask(NamedTuple):
    """What an upstream is told to do, in the request itself."""

    nonce: str
    number: int
    act: str
    streamed: bool
    events: int
    pause_s: float
    size_bytes: int

    def text(self) -> str:
        """Return it as the content of a message."""
        return json.dumps(self)

    def lines(self) -> Lines:
        """Return what the upstream has to say."""
        name = f"{self.nonce}/{self.number} "
        body = completion(name + "x" * self.size_bytes)
        if not self.streamed:
            return Lines(body, (), self.pause_s)
        words = name + "x" * (self.size_bytes // self.events)
        last = self.events - 1
        events = [
            delta(f"{words}{number} ", "stop" if number == last else None)
            for number in range(self.events)
        ]
        return Lines(body, (*events, DONE), self.pause_s)


def asked(body: bytes) -> Ask:
    """Return what a request body asks for."""
    return Ask(*json.loads(json.loads(body)["messages"][-1]["content"]))


@dataclass
class World:
    """What clients and the upstream have seen so far, over all runs of the program.

    Shapes: `long` is the part of all exchanges that take longer than a second.
    Units: `slowest_s` is the longest pause of the others.
    """

    seed: int
    acts: Mapping[str, int] = field(default_factory=lambda: USUAL)
    leavers: float = LEAVERS
    long: float = 0.15
    slowest_s: float = 0.1
    attempts: list[Attempt] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    sums: list[Sums] = field(default_factory=list)
    unfinished: list[Key] = field(default_factory=list)  # to be tried again
    first_end: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._nonces = (f"n{number}" for number in itertools.count(1))
        self.callers = [canary.key("caller") for _ in range(3)]

    def ask(self) -> Ask:
        """Return what to ask next: now and then once more what did not end."""
        choose = self.random
        again = self.unfinished and choose.random() < 0.5
        nonce, number = self.unfinished.pop() if again else (next(self._nonces), 0)
        (act,) = choose.choices(list(self.acts), list(self.acts.values()))
        streamed = choose.random() < 0.5
        if choose.random() < self.long:  # longer than a second: saved before they end
            pause_s = choose.uniform(0.06, 0.12)
            return Ask(nonce, number + 1, act, streamed, 20, pause_s, 40)
        size_bytes = choose.choice((20, 20, 300, 5000, 90_000))
        events = choose.randint(3, 20)
        pause_s = choose.uniform(0, self.slowest_s)
        return Ask(nonce, number + 1, act, streamed, events, pause_s, size_bytes)

    async def play(self, request: RawRequest, wire: Wire) -> None:
        """Be the upstream: do as the request asks."""
        try:
            ask = asked(request.body)
        except (ValueError, TypeError, LookupError):  # nobody of ours has sent this
            self.hits.append(Hit(key=Key(repr(request.head[:200]), 0)))
            wire.reset()
            return
        hit = Hit(key=Key(ask.nonce, ask.number), got=request.body)
        self.hits.append(hit)
        await ACTS[ask.act](ask.lines(), hit, wire)

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
            {"model": "m", "stream": ask.streamed, "messages": talk}
        ).encode()
        attempt = Attempt(
            nonce=ask.nonce,
            number=ask.number,
            request=body,
            caller=self.random.choice(self.callers),
        )
        self.attempts.append(attempt)
        leaves = self.random.random() < self.leavers
        leave_at = self.random.randint(0, 3) if leaves else None
        try:
            stays = await follow(client, attempt, leave_at)
            if not stays and leave_at is not None and self.random.random() < 0.5:
                client.reset()
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


async def follow(client: RawClient, attempt: Attempt, leave_at: int | None) -> bool:
    """Send a request and note its answer as it comes.

    Shapes: `leave_at` is the number of reads after which the client hangs up. Returns
    whether the connection can be used again.
    """
    key = f"Authorization: Bearer {attempt.caller}"
    await client.post("/v1/chat/completions", attempt.request, key)
    if leave_at == 0:
        return False
    attempt.status, headers = await client.head()
    attempt.refused = "x-spiritsafe-error" in headers
    # Only what is refused at the door has no id.
    attempt.id = headers.get("x-spiritsafe-id", "")
    assert attempt.id or attempt.refused
    error = headers.get("x-spiritsafe-error")
    attempt.withheld = error == "recorder_storage_failed"
    attempt.disowned = headers.get("x-spiritsafe-recorded") == "no"
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
