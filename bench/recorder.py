"""Measures what recording costs: CPU per exchange in batches of 16, and one hop."""

import asyncio
import gc
import sqlite3
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import orjson

from storage import epochs
from storage.engines.sqlite import Connection
from storage.records import Chunk, Exchange, Usage
from storage.threads import message_key
from storage.writer import Tally, Writer

BATCH = 16
BATCHES = 400
ROUNDS = 5
WORDS = ("the", "one", "index", "point", "keep", "change", "reads", "often", "expected")


def text(number: int, size: int) -> str:
    """Return text of this size that no other number has, about as regular as prose."""
    state, words = number * 7919 + 13, []
    while sum(map(len, words)) + len(words) < size:
        state = (state * 1103515245 + 12345) % 2**31
        words.append(WORDS[state % len(WORDS)])
    return f"{number} {' '.join(words)}"[:size]


def bodies(number: int, *, known: bool) -> tuple[bytes, bytes, bytes, str]:
    """Return request, answer, answered message and completion id."""
    messages = [
        {"role": "system", "content": text(1, 200)},
        {"role": "user", "content": text(0 if known else number, 200)},
    ]
    # Providers' ids have no order: each lands on another page of its index.
    name = f"chatcmpl-{sha256(b'%d' % number).hexdigest()[:29]}"
    said = {"role": "assistant", "content": text(number, 600), "refusal": None}
    choices = [{"index": 0, "message": said, "finish_reason": "stop"}]
    return (
        orjson.dumps({"model": "gpt-4o-mini", "messages": messages}),
        orjson.dumps({"id": name, "object": "chat.completion", "choices": choices}),
        orjson.dumps(said),
        name,
    )


def exchange(number: int, *, known: bool) -> Exchange:
    """Return a plain exchange: two messages of 200 bytes, an answer of 0.8 kB."""
    request, answer, said, name = bodies(number, known=known)
    digest, key, now_at = sha256(request).digest(), message_key(said), 1_790_000_000
    return Exchange(
        id=f"ex_{number:032x}",
        project="anonymous",
        upstream="default",
        endpoint="chat",
        target="/v1/chat/completions",
        streamed=False,
        created_at=now_at * 1_000_000 + number,
        state="complete",
        status=200,
        first_token_at=now_at * 1_000_000 + number,
        ended_at=now_at * 1_000_000 + number,
        completion_id=name,
        model_asked="gpt-4o-mini",
        model_served="gpt-4o-mini-2024-07-18",
        finish_reason="stop",
        usage=Usage(90, 0, 150, 0),
        tags={"env": "dev"},
        prompt_preview=text(number, 200),
        answer_preview=text(number, 300),
        request_size=len(request),
        answer_size=len(answer),
        request=request,
        request_sha256=digest,
        sent_sha256=digest,
        answer=answer,
        answer_sha256=sha256(answer).digest(),
        chunks=(Chunk(len(answer), 400_000),),
        request_headers=((b"content-type", b"application/json"),),
        answer_headers=((b"x-request-id", b"req_%032x" % number),),
        answer_keys=() if key is None else (key,),
    )


def batches(*, known: bool) -> list[list[Exchange]]:
    """Return all batches of a run."""
    return [
        [exchange(2 + at * BATCH + n, known=known) for n in range(BATCH)]
        for at in range(BATCHES)
    ]


def measure(
    connection: sqlite3.Connection, work: list[list[Exchange]]
) -> tuple[float, float]:
    """Return CPU and wall microseconds per exchange; CPU is this thread's alone."""
    writer = Writer(connection, epoch=epochs.start(connection, started_at=0))
    writer.write(work[0], Tally(1, BATCH, 0))
    # The exchanges made beforehand are the bench's own: no collection shall walk them.
    gc.collect()
    gc.freeze()
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    for number, batch in enumerate(work[1:], 2):
        writer.write(batch, Tally(number, number * BATCH, 0))
    cpu, wall = time.thread_time_ns() - cpu, time.perf_counter_ns() - wall
    done = BATCH * (len(work) - 1)
    return cpu / done / 1000, wall / done / 1000


async def hops(connection: Connection) -> tuple[float, float]:
    """Return wall microseconds of a batch of 16 rows: one hop, and one per call."""
    await connection.execute("CREATE TABLE hop (a INTEGER PRIMARY KEY, b TEXT)")
    await connection.execute("PRAGMA synchronous = OFF")
    sql, rounds = "INSERT INTO hop (b) VALUES (?)", 200

    def whole(raw: sqlite3.Connection) -> None:
        raw.execute("BEGIN IMMEDIATE")
        for _ in range(BATCH):
            raw.execute(sql, ("x" * 100,))
        raw.execute("COMMIT")

    started = time.perf_counter_ns()
    for _ in range(rounds):
        await connection.run(whole)
    one = time.perf_counter_ns() - started
    started = time.perf_counter_ns()
    for _ in range(rounds):
        await connection.execute("BEGIN IMMEDIATE")
        for _ in range(BATCH):
            await connection.execute(sql, ("x" * 100,))
        await connection.execute("COMMIT")
    each = time.perf_counter_ns() - started
    return one / rounds / 1000, each / rounds / 1000


async def main() -> None:
    """Print the table: the median of five runs, and the range."""
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    print(f"{'µs':<42}{'median':>10}{'least':>10}{'most':>10}")
    figures: dict[str, list[float]] = {}
    work = {known: batches(known=known) for known in (True, False)}
    for _ in range(ROUNDS):
        for known, name in ((True, "pieces known"), (False, "a new message each")):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                connection = await Connection.open(Path(place) / "bench.db")
                cpu, wall = await connection.run(measure, work[known])
                await connection.close()
            figures.setdefault(f"cpu of an exchange, {name}", []).append(cpu)
            figures.setdefault(f"wall of an exchange, {name}", []).append(wall)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            connection = await Connection.open(Path(place) / "hops.db")
            one, each = await hops(connection)
            await connection.close()
        figures.setdefault("wall of 16 rows, one hop", []).append(one)
        figures.setdefault("wall of 16 rows, an await each", []).append(each)
    for name, values in figures.items():
        values.sort()
        middle = values[len(values) // 2]
        print(f"{name:<42}{middle:>10.1f}{values[0]:>10.1f}{values[-1]:>10.1f}")


if __name__ == "__main__":
    asyncio.run(main())
