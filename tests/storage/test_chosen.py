"""Only what a caller may change is changed, and all else is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from storage.chosen import erasing, retagging
from storage.reading import Library
from storage.recorder import Recorder
from storage.records import Progress
from tests.storage.make import clock, exchange

pytestmark = pytest.mark.anyio
NONE = f"ex_{'f' * 32}"


async def test_what_may_not_be_changed_is_named_by_its_reason(tmp_path: Path) -> None:
    db = tmp_path / "s.db"
    async with Recorder.open(db, clock=clock) as recorder:
        hers, his, held = (exchange(project=name) for name in ("a", "b", "a"))
        begun = msgspec.structs.replace(exchange(project="a"), state="open")
        recorder.accept(begun.id)
        recorder.note(Progress(exchange=begun, part=b"", at_byte=0))
        for one in (hers, his, held):
            recorder.accept(one.id)
            await recorder.keep(one)

        def hold(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO held SELECT seq FROM exchanges WHERE id = ?", (held.id,)
            )

        await recorder.change(hold)
        ids = [NONE, hers.id, his.id, held.id, begun.id]
        change = retagging(ids, fingerprint="a", add={"x": "1"}, remove=["tier"])
        tagged = await recorder.change(change)
        erased = await recorder.change(erasing(ids, fingerprint="a"))
        assert ([hers.id, held.id], [NONE, his.id], [begun.id], []) == (
            tagged.changed,
            tagged.missing,
            tagged.under_way,
            tagged.held,
        )
        assert ([hers.id], [held.id]) == (erased.changed, erased.held)
        with closing(Library.open(db)) as library:
            left = {row.id: row.tags for row in library.rows()}
        assert {his.id, held.id, begun.id} == set(left)
        assert "1" == left[held.id]["x"]
        assert "x" not in left[his.id]
        everything = await recorder.change(erasing([his.id], fingerprint=None))
        assert [his.id] == everything.changed
        recorder.drop(begun.id, "never_ended")
