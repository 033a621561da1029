"""Judgements: kept with their exchange, and what they quote goes with its content."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage import changes
from storage.judgements import Judged
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Fault, Judgement, Progress
from storage.spool import Frame, Spool
from storage.verify import Finding, verify
from tests.storage.make import NOW_AT, clock, exchange
from tests.storage.test_recorder import keep, rows

pytestmark = pytest.mark.anyio

WRONG = Judgement(
    slot="/choices/0/message/content",
    schema="invoice@2",
    digest=b"d" * 32,
    why="binding:7",
    verdict="invalid",
    followed="enforced",
    faults=(
        Fault("/price", "/properties/price/type", '"SECRET" is not a number'),
        Fault("", "/required", "the rest"),
    ),
)
UNKNOWN = Judgement(
    slot="/choices/0/message/tool_calls/0/function/arguments",
    schema="nobody",
    digest=b"",
    why="header",
    verdict="unchecked",
    reason="unknown_schema",
)
TOLD: dict[str, Any] = {
    "schema": "invoice@2",
    "verdict": "invalid",
    "error_path": "/price",
    "judgements": (WRONG, UNKNOWN),
}


def judged(judgement: Judgement, **changes: object) -> Judged:
    told: dict[str, Any] = {**msgspec.structs.asdict(judgement), **changes}
    return Judged(**told, judged_at=NOW_AT + 9)


async def test_what_was_judged_comes_back_with_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    made, plain = exchange(**TOLD), exchange()
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, made, plain)
        assert rows(path, "SELECT count(*) FROM judgements") == [(2,)]
    with open_library(path) as library:
        assert library.one(made.id).judgements == (judged(WRONG), judged(UNKNOWN))
        assert library.one(plain.id).judgements == ()
        assert not [one for one in verify(library) if isinstance(one, Finding)]


async def test_an_exchange_that_was_under_way_has_its_judgements_too(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    made = exchange(**TOLD)
    under_way = msgspec.structs.replace(exchange(state="open", answer=b""), id=made.id)
    async with Recorder.open(path, clock=clock) as recorder:
        recorder.accept(made.id)
        recorder.note(Progress(exchange=under_way, part=b"x", at_byte=0))
        assert await recorder.keep(made)
    with open_library(path) as library:
        assert library.one(made.id).judgements[0] == judged(WRONG)


async def test_without_content_the_verdicts_stay_and_the_faults_do_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    bare = exchange(**TOLD, content_kept=False, request=b"", answer=b"")
    later = exchange(**TOLD)
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, bare, later)
        assert await recorder.change(partial(changes.strip, seqs=[2])) == 1
    with open_library(path) as library:
        for name in (bare.id, later.id):
            kept = library.one(name)
            assert kept.judgements == (judged(WRONG, faults=()), judged(UNKNOWN))
            assert (kept.row.verdict, kept.row.error_path) == ("invalid", None)
    assert b"SECRET" not in path.read_bytes()


async def test_what_is_removed_takes_its_judgements_along(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with Recorder.open(path, clock=clock) as recorder:
        await keep(recorder, exchange(**TOLD), exchange(**TOLD))
        ask_again = "INSERT INTO reasks VALUES (2, 1, 1, 'client')"
        await recorder.change(lambda connection: connection.execute(ask_again) and None)
        await recorder.change(partial(changes.remove, seqs=[2]))
    assert rows(path, "SELECT DISTINCT seq FROM judgements") == [(1,)]
    assert rows(path, "SELECT seq FROM reasks") == []


def test_the_spool_keeps_judgements(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.spool", max_bytes=1 << 20)
    spool.open()
    made = exchange(**TOLD, asks_again="ex_1")
    assert spool.append([Frame(1, 2, 3, made)]) == [True]
    (frame,) = spool.read(0).frames
    spool.close()
    assert frame.exchange == made
