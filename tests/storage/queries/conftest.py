"""One file for the tests of queries, whose rows differ in all that a filter reads."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from sqlite3 import Connection

import msgspec
import pytest

from storage.assemble import Kept
from storage.changes import replace_tags
from storage.index.indexer import Indexer
from storage.queries.content import Said
from storage.reading import Library, open_library
from storage.recorder import Recorder
from storage.records import Exchange, Usage
from tests.storage.make import NOW_AT, clock, exchange
from tests.storage.queries import naive

COUNT = 60
NEW_TAGS = {naive.KEYS[0]: naive.TEXTS[0]}


class Shelf:
    """A file to read, and what was put into it, oldest first."""

    def __init__(self, library: Library, exchanges: list[Exchange]) -> None:
        self.library = library
        self.exchanges = exchanges


def read(kept: Kept) -> Said:
    """Tell what an exchange says, from its previews."""
    row = kept.row
    text = f"{row.prompt_preview} . {row.answer_preview}"
    tools = {tool for tool in naive.TOOLS if tool in row.answer_preview}
    return Said(text, frozenset(tools))


def made() -> list[Exchange]:
    """Return exchanges of every kind, the same each time."""
    choose = Random(4)
    some = choose.choice

    def number() -> int | None:
        return some([*naive.NUMBERS, None])

    return [
        exchange(
            project=some(["mine", "yours"]),
            upstream=some(["default", "and"]),
            model_asked=some(naive.TEXTS),
            model_served=some([*naive.TEXTS, ""]),
            finish_reason=some(["stop", "and", None]),
            verdict=some(["gpt-4o", None]),
            status=some([200, 404, 429, 0]),
            usage=Usage(number(), None, number(), None),
            streamed=some([True, False]),
            error=some([b"{}", None]),
            created_at=NOW_AT + at,
            ended_at=some([None, NOW_AT + at + 1_999_999, NOW_AT + at + 2_000_000]),
            tags={
                key: some([*naive.TEXTS, ""])
                for key in naive.KEYS
                if some([True, False])
            },
            prompt_preview=some(naive.SENTENCES),
            answer_preview=some([*naive.SENTENCES, *naive.TOOLS]),
        )
        for at in range(COUNT)
    ]


def indexed(path: Path) -> None:
    """Bring the index up to all rows, with their words."""
    with closing(Indexer(path, read=read)) as indexer:
        while indexer.step():
            pass


async def record(path: Path, exchanges: list[Exchange]) -> None:
    async with Recorder.open(path, clock=clock) as recorder:
        for one in exchanges:
            recorder.accept(one.id)
            await recorder.keep(one)


async def retag(path: Path, seqs: range, tags: dict[str, str]) -> None:
    """Change the tags of some rows, which the index then has wrong."""

    def change(connection: Connection) -> None:
        for seq in seqs:
            replace_tags(connection, seq, tags)

    async with Recorder.open(path, clock=clock) as recorder:
        await recorder.change(change)


@pytest.fixture(scope="package", params=["no index", "an index", "an old index"])
def shelf(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shelf]:
    """A file of which the index has nothing, all, or a part that has changed since."""
    path = tmp_path_factory.mktemp("queries") / "a.db"
    exchanges = made()
    half = COUNT // 2
    asyncio.run(record(path, exchanges[:half]))
    if request.param == "an old index":
        indexed(path)
        asyncio.run(retag(path, range(3, 9), NEW_TAGS))
        exchanges[2:8] = [
            msgspec.structs.replace(one, tags=NEW_TAGS) for one in exchanges[2:8]
        ]
    asyncio.run(record(path, exchanges[half:]))
    if request.param == "an index":
        indexed(path)
    with open_library(path) as library:
        yield Shelf(library, exchanges)
