"""Measures what recording costs: CPU per exchange in batches of 16, and one hop."""

import asyncio
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
WORDS = ("the", "one", "index", "point", "keep", "change", "reads", "often", "expected")


def text(number: int, size: int) -> str:
    """Return text of this size that no other number has, about as regular as prose."""
    state, words = number * 7919 + 13, []
    while sum(map(len, words)) + len(words) < size:
        state = (state * 1103515245 + 12345) % 2**31
        words.append(WORDS[state % len(WORDS)])
    return f"{number} {' '.join(words)}"[:size]


def exchange(number: int, *, known: bool) -> Exchange:
    """Return a plain exchange: two messages of 200 bytes, an answer of 0.8 kB."""
    question = text(0 if known else number, 200)
    messages = [
        {"role": "system", "content": text(1, 200)},
        {"role": "user", "content": question},
    ]
    request = orjson.dumps({"model": "gpt-4o-mini", "messages": messages})
    said = {"role": "assistant", "content": text(number, 600), "refusal": None}
    # Providers' ids have no order: each lands on another page of its index.
    name = f"chatcmpl-{sha256(b'%d' % number).hexdigest()[:29]}"
    answer = orjson.dumps(
        {
            "id": name,
            "object": "chat.completion",
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
        }
    )
    digest = sha256(request).digest()
    key = message_key(orjson.dumps(said))
    return Exchange(
        id=f"ex_{number:032x}",
        project="anonymous",
        upstream="default",
        endpoint="chat",
        target="/v1/chat/completions",
        streamed=False,
        created_at=1_790_000_000_000_000 + number,
        state="complete",
        status=200,
        first_token_at=1_790_000_000_000_000 + number,
        ended_at=1_790_000_000_000_000 + number,
        completion_id=name,
        model_asked="gpt-4o-mini",
        model_served="gpt-4o-mini-2024-07-18",
        finish_reason="stop",
        usage=Usage(90, 0, 150, 0),
        tags={"env": "dev"},
        prompt_preview=question,
        answer_preview=str(said["content"])[:300],
        request_size=len(request),
        answer_size=len(answer),
        request=request,
        request_sha256=digest,
        sent_sha256=digest,
        answer=answer,
        answer_sha256=sha256(answer).digest(),
        chunks=(Chunk(len(answer), 400_000),),
        request_headers=((b"content-type", b"application/json"),),
        answer_headers=(
            (b"content-type", b"application/json"),
            (b"x-request-id", b"req_%032x" % number),
        ),
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
    """Print the table."""
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    print(f"{'what':<44}{'cpu µs':>10}{'wall µs':>10}")
    for name, known in (("pieces known", True), ("one new message each", False)):
        work = batches(known=known)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            path = Path(place) / "bench.db"
            connection = await Connection.open(path)
            cpu, wall = await connection.run(measure, work)
            await connection.close()
        print(f"{'per exchange, ' + name:<44}{cpu:>10.1f}{wall:>10.1f}")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        connection = await Connection.open(Path(place) / "hops.db")
        one, each = await hops(connection)
        await connection.close()
    print(f"{'batch of 16 rows, one hop':<44}{'':>10}{one:>10.0f}")
    print(f"{'batch of 16 rows, one await per statement':<44}{'':>10}{each:>10.0f}")


if __name__ == "__main__":
    asyncio.run(main())
