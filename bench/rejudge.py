"""Measures how fast recorded answers are judged again: of one core, and of all."""

import asyncio
import json
import sys
import tempfile
import time
from contextlib import closing
from ctypes import c_longlong
from hashlib import sha256
from pathlib import Path
from random import Random

import msgspec
import orjson
from recorder import exchange

from proxy.schemas.history import WHY, History
from proxy.schemas.judge import Bound
from proxy.schemas.spread import AT_ONCE, Job, cores
from proxy.schemas.trial import trial
from storage.reading import Library
from storage.recorder import Recorder

COUNT = 40_000
MEMBERS = (10, 25, 45)  # answers of some 0.8, 1.2 and 2 kB
WRONG = 0.02
ROUNDS = 3

KINDS = ("string", "integer", "number")
PLACE = {"properties": {"price": {"type": "number"}}, "required": ["price", "name"]}
SCHEMA = {
    "type": "object",
    "properties": {
        **{f"member_{n}": {"type": KINDS[n % 3]} for n in range(50)},
        "items": {"type": "array", "items": {"type": "object", **PLACE}},
    },
    "required": ["member_0", "items"],
    "additionalProperties": False,
}


def answer(draw: Random) -> bytes:
    """Return a completion whose content is JSON, wrong now and then."""
    value: dict[str, object] = {
        f"member_{n}": (f"some words {draw.random()}", draw.getrandbits(20), 0.5)[n % 3]
        for n in range(draw.choice(MEMBERS))
    }
    price = "free" if draw.random() < WRONG else 9.5
    value["items"] = [{"name": f"item {n}", "price": price} for n in range(4)]
    message = {"role": "assistant", "content": json.dumps(value), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 99, "total_tokens": 108}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "model": "m"}
    return orjson.dumps({**whole, "choices": [choice], "usage": usage})


async def fill(db: Path, count: int) -> int:
    """Record as many; return the bytes of all answers."""
    draw, size = Random(7), 0
    async with Recorder.open(
        db, clock=lambda: time.time_ns() // 1000, durability="relaxed"
    ) as recorder:
        for first in range(0, count, AT_ONCE):
            made = []
            for number in range(first, min(first + AT_ONCE, count)):
                body = answer(draw)
                size += len(body)
                plain = exchange(number, known=False)
                made.append(
                    msgspec.structs.replace(plain, answer=body, answer_size=len(body))
                )
                recorder.accept(plain.id)
            await asyncio.gather(*map(recorder.keep, made))
    return size


def main() -> None:
    """Fill a file, judge it again, print what it took."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    document = json.dumps(SCHEMA).encode()
    bound = Bound("bench@1", sha256(document).digest(), document, WHY)
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "bench.db"
        size = asyncio.run(fill(db, count))
        print(f"{count} exchanges, answers of {size / count:.0f} bytes")
        with closing(Library.open(db)) as library:
            history, seat = History(library, bound), c_longlong()
            for _ in range(ROUNDS):
                began_ns = time.process_time_ns()
                for low in range(1, count + 1, AT_ONCE):
                    history.judge((low, min(low + AT_ONCE - 1, count)), seat)
                took_s = (time.process_time_ns() - began_ns) / 1e9
                print(f"one core: {count / took_s:,.0f} exchanges/s of its time")
            began_s = time.monotonic()
            found = trial(library, Job(db, bound), None, workers=cores())
            took_s = time.monotonic() - began_s
        print(f"{cores()} processes: {count / took_s:,.0f}/s, their start included")
        print(f"verdicts: {found.verdicts}")


if __name__ == "__main__":
    main()
