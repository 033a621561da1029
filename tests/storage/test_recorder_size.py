"""The size on disk: a conversation costs what its own messages cost, not its repeats."""

import asyncio
import random
import sqlite3
from pathlib import Path

import orjson
import pytest
import zstandard

from storage.reading import open_library
from storage.recorder import Recorder
from storage.verify import Finding, verify
from tests.storage.make import chat, clock, exchange

# Words of the length and frequency of English: 4 kB compress to a bit under half.
WORDS = [
    "".join(random.Random(n).choices("etaoinshrdlu", k=3 + n % 7)) for n in range(900)
]


TOOL = {"type": "function", "function": {"name": "find", "description": "Look. " * 300}}


def prose(seed: int, size: int) -> str:
    """Return text that has no other text's sentences, but their words."""
    rng = random.Random(seed)
    weights = [1 / (rank + 3) for rank in range(len(WORDS))]
    return " ".join(rng.choices(WORDS, weights, k=size // 4))[:size]


async def converse(
    recorder: Recorder, number: int, *, system: str, turns: int
) -> tuple[int, int]:
    """Record turns of 4 kB; return the bytes of all bodies, and of unique ones.

    Units: unique bytes are compressed, each message and each answer by itself.
    """
    compress = zstandard.ZstdCompressor(level=3).compress
    seed = 1000 * number
    messages = [("system", system)]
    repeated, unique = 0, len(compress(system.encode()))
    for turn in range(turns):
        asked, said = (prose(seed + 2 * turn + n, 4000) for n in (1, 2))
        messages.append(("user", asked))
        made = exchange(chat(*messages, tools=[TOOL]), text=said)
        recorder.accept(made.id)
        await recorder.keep(made)
        messages.append(("assistant", said))
        unique += len(compress(asked.encode())) + len(compress(made.answer))
        unique += len(compress(said.encode())) if turn < turns - 1 else 0
        repeated += len(made.request) + len(made.answer)
    return repeated, unique


async def recorded(path: Path, number: int) -> tuple[int, int]:
    """Record a conversation of 50 turns that shares nothing with others."""
    system = prose(1000 * number, 4000)
    async with Recorder.open(path, clock=clock) as recorder:
        return await converse(recorder, number, system=system, turns=50)


def test_repeated_messages_are_stored_once(tmp_path: Path) -> None:
    repeated, _ = asyncio.run(recorded(tmp_path / "a.db", 1))
    assert (tmp_path / "a.db").stat().st_size <= repeated / 20


def test_p6_fifty_turns_cost_little_more_than_their_messages(tmp_path: Path) -> None:
    """A conversation of 50 turns takes at most 1.5 x its unique compressed bytes.

    The first pages of all tables and indexes, one each, are the file's and not the
    conversation's: they are there before the second one comes.
    """
    path = tmp_path / "a.db"
    asyncio.run(recorded(path, 1))
    before = path.stat().st_size
    _, unique = asyncio.run(recorded(path, 2))
    taken = path.stat().st_size - before
    assert taken <= 1.5 * unique, f"{taken / unique:.2f}"


@pytest.mark.anyio
async def test_p6_ten_conversations_keep_what_they_share_once(tmp_path: Path) -> None:
    """A prompt of 4 kB and tools that all of them send are in the file one time."""
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        for number in range(10):
            await converse(recorder, number, system=prose(0, 4000), turns=2)
    connection = sqlite3.connect(path)
    shared = connection.execute(
        "SELECT count(*) FROM pieces WHERE id IN "
        "(SELECT piece FROM nodes WHERE parent = 0)"
    ).fetchone()
    (pieces,) = connection.execute("SELECT count(*) FROM pieces").fetchone()
    connection.close()
    assert shared == (2,)  # the prompt, and the one tool
    assert pieces == 10 * 3 + 2 + 1  # asked, said, asked; what is shared; skeleton


@pytest.mark.anyio
async def test_more_elements_than_are_remembered_are_stored_once(
    tmp_path: Path,
) -> None:
    """The last repeats the first, and a batch has all of it twice, and once more."""
    path = tmp_path / "a.db"
    numbers = [*range(40_000), 0]
    body = orjson.dumps({"model": "gpt-4o", "input": numbers})
    made = [exchange(body), exchange(body), exchange(chat(("user", "hi")))]
    async with Recorder.open(path, clock=clock) as recorder:
        for one in made:
            recorder.accept(one.id)
        assert await asyncio.gather(*map(recorder.keep, made)) == [True] * 3
    with open_library(path) as library:
        assert [] == [step for step in verify(library) if isinstance(step, Finding)]
        counts = "SELECT (SELECT count(*) FROM pieces), (SELECT count(*) FROM nodes)"
        told = library.connection.execute(counts).fetchone()
    assert told == (len(set(numbers)) + 3, len(numbers) + 1)  # a message, two skeletons
