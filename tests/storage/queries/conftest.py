"""One file for the tests of queries, whose rows differ in all that a filter reads."""

import asyncio
from collections.abc import Iterator
from random import Random

import pytest

from storage.assemble import Kept
from storage.queries.content import Said
from storage.reading import Library, open_library
from storage.recorder import Recorder
from storage.records import Exchange, Usage
from tests.storage.make import NOW_AT, clock, exchange
from tests.storage.queries import naive

COUNT = 60


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
            tags={key: some(naive.TEXTS) for key in naive.KEYS if some([True, False])},
            prompt_preview=some(naive.SENTENCES),
            answer_preview=some([*naive.SENTENCES, *naive.TOOLS]),
        )
        for at in range(COUNT)
    ]


@pytest.fixture(scope="package")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    path = tmp_path_factory.mktemp("queries") / "a.db"
    exchanges = made()

    async def fill() -> None:
        async with Recorder.open(path, clock=clock) as recorder:
            for one in exchanges:
                recorder.accept(one.id)
                await recorder.keep(one)

    asyncio.run(fill())
    with open_library(path) as library:
        yield Shelf(library, exchanges)
