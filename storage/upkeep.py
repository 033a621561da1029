"""Sees to it that a file holds none of what was removed, nor the room it took."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from storage import changes, judgements
from storage.engines.scrub import FIRST, Scrub, can_scrub
from storage.engines.sqlite import give_back, write_anew
from storage.errors import StorageError, StorageFailed
from storage.index.behind import Behind
from storage.index.file import index_path
from storage.judgements import Rejudged
from storage.recorder import Recorder
from storage.relink import relink
from storage.retention import Done, Policy, Retention, used_bytes
from storage.seldom import Seldom

_log = logging.getLogger(__name__)

# Rows of one transaction, and pages that one slice moves or takes off: milliseconds in
# which nothing else commits.
_ROWS = 24
_PAGES = 64
_JUDGED = 128

# A reader at work holds the log for as long as it reads; an index looks again within
# seconds. Both are asked again meanwhile.
_PATIENCE_S = 30.0
_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0

_DROPPED = "SELECT coalesce(sum(dropped), 0) FROM epochs"
_CHANGED = "SELECT count(*) FROM (SELECT 1 FROM changed LIMIT 1)"


class Report(msgspec.Struct, frozen=True):
    """What became of a request to change what is kept.

    Shapes: `clean` when no byte of what was removed is left in file, log and index;
    where it cannot be for now, `why` tells the reason.
    Units: bytes of the file in use, before and after.
    """

    tagged: int = 0
    judged: int = 0
    linked: int = 0
    stripped: int = 0
    removed: int = 0
    clean: bool = True
    bytes_before: int = 0
    bytes_after: int = 0
    why: str = ""


class Upkeep:
    """Changes the file of one recorder, in slices between its batches.

    Between two slices traffic gets `pause_ratio` times as long as one took.
    """

    def __init__(
        self,
        recorder: Recorder,
        path: Path,
        *,
        index: Behind | None = None,
        pause_ratio: float = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._path = path
        self._index = index
        self._pause_ratio = pause_ratio
        self._monotonic = monotonic
        self._scrub: Scrub | None = None

    async def tag(
        self, seqs: Iterable[int], *, add: Mapping[str, str], remove: Iterable[str]
    ) -> Report:
        """Change the tags of exchanges. Raises: as `storage.changes.set_tags`."""
        done = 0
        for seq in seqs:
            change = partial(changes.set_tags, seq=seq, add=add, remove=tuple(remove))
            await self._recorder.change(change)
            done += 1
        return Report(tagged=done)

    async def judge(self, told: Sequence[Rejudged], *, judged_at: int) -> Report:
        """Put judgements beside those that exchanges have. Raises: `StorageFailed`."""
        done = 0
        for at in range(0, len(told), _JUDGED):
            some = told[at : at + _JUDGED]
            done += await self._recorder.change(
                partial(_judge, told=some, judged_at=judged_at)
            )
        return Report(judged=done)

    async def link(self, seqs: Iterable[int]) -> Report:
        """Link those that ask again to what they correct. Raises: `StorageFailed`."""
        wanted, done = sorted(seqs), 0
        for at in range(0, len(wanted), _JUDGED):
            some = wanted[at : at + _JUDGED]
            done += await self._recorder.change(partial(_link, seqs=some))
        return Report(linked=done)

    async def remove(self, seqs: Iterable[int]) -> Report:
        """Remove exchanges and every trace of them.

        Raises: as `storage.changes.remove`; `StorageFailed`.
        """
        before, wanted, done = await self.used_bytes(), list(seqs), 0
        for at in range(0, len(wanted), _ROWS):
            some = wanted[at : at + _ROWS]
            done += await self._recorder.change(partial(changes.remove, seqs=some))
        return await self._report(Done(removed=done), before)

    async def prune(self, policy: Policy, *, now_at: int) -> Report:
        """Let go what a policy keeps no longer, and every trace of it."""
        before = await self.used_bytes()
        done = await self.sweep(Retention(policy), now_at=now_at)
        return await self._report(done, before)

    async def sweep(self, retention: Retention, *, now_at: int) -> Done:
        """Go through all that a policy lets go now. Raises: `StorageFailed`."""
        done = Done(more=True)
        while done.more:
            started_s = self._monotonic()
            change = partial(retention.slice, now_at=now_at)
            done = done.plus(await self._recorder.change(change))
            retention.settle()
            await self._pause(started_s)
        return done

    async def finish(self) -> bool:
        """Clean up after removals; return whether nothing of them is left.

        Raises: `StorageFailed`; `ValueError` where the file was made before 0004.
        """
        forgot = await self._index_forgot()
        return await self.cleanse() and forgot

    async def cleanse(self) -> bool:
        """Clean up the file alone, as the index sees to itself. Raises: as `finish`."""
        await self._shrink()
        return await self._cleanse()

    async def forget_changes(self) -> None:
        """Empty the list of what an index has to look at again, where there is none."""
        path = index_path(self._path)
        if self._index is None and await self._changes():
            await self._recorder.change(partial(_forget_changes, index=path))

    async def used_bytes(self) -> int:
        """Return the size of the file without what is free in it."""
        return await self._recorder.apply(used_bytes)

    @property
    def possible(self) -> bool:
        """Whether the file takes anything at present."""
        return not self._recorder.failing

    async def dropped(self) -> int:
        """Return how often content went from this file in all, by whomever."""
        return await self._recorder.apply(partial(_number, query=_DROPPED))

    async def _report(self, done: Done, before: int) -> Report:
        clean, why = False, ""
        try:
            clean = await self.finish()
        except (ValueError, OSError) as exc:
            why = str(exc)
        after = await self.used_bytes()
        return Report(
            stripped=done.stripped,
            removed=done.removed,
            clean=clean,
            bytes_before=before,
            bytes_after=after,
            why=why,
        )

    async def _index_forgot(self) -> bool:
        """Wait until the index has forgotten what was removed."""
        index = self._index
        if index is None:
            await self.forget_changes()
            return True
        for _ in range(int(_PATIENCE_S / _PAUSE_S)):
            index.hurry()
            if not await self._changes() and index.clean:
                return True
            await asyncio.sleep(_PAUSE_S)
        return False

    async def _changes(self) -> bool:
        return bool(await self._recorder.apply(partial(_number, query=_CHANGED)))

    async def _shrink(self) -> None:
        left, before = 1, 0
        while left and left != before:
            started_s, before = self._monotonic(), left
            left = await self._recorder.apply(partial(give_back, pages=_PAGES))
            await self._pause(started_s)

    async def _cleanse(self) -> bool:
        scrub = self._scrub
        if scrub is None or scrub.is_of_another:
            scrub = self._scrub = Scrub(self._path)
        at, pause_s = FIRST, _PAUSE_S
        moved_s = self._monotonic()
        while (started_s := self._monotonic()) - moved_s < _PATIENCE_S:
            following = await self._recorder.apply(partial(scrub.step, at=at))
            if following is None:
                return True
            if following == at:  # a reader holds the log
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            at, pause_s = following, _PAUSE_S
            await self._pause(started_s)
            moved_s = self._monotonic()
        return False

    async def _pause(self, started_s: float) -> None:
        await asyncio.sleep((self._monotonic() - started_s) * self._pause_ratio)


async def keep_up(
    upkeep: Upkeep,
    retention: Retention,
    *,
    clock: Callable[[], int],
    pause_s: float = 1.0,
) -> None:
    """Retain in the background, for ever, and clean up after whoever removed.

    To clean it all of a file is gone through: seldom, and nothing waits for it.
    """

    async def retain() -> None:
        if not retention.policy.keeps_all:
            await upkeep.sweep(retention, now_at=clock())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_again(retain, upkeep, pause_s=pause_s))
        tasks.create_task(_again(_Cleaning(upkeep).step, upkeep, pause_s=pause_s))


class _Cleaning:
    """Cleans up once content went; what goes meanwhile shares the next pass."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._seldom = Seldom()
        self._cleaned = 0  # how often content had gone; so each start cleans

    async def step(self) -> None:
        await self._upkeep.forget_changes()
        if not self._seldom.due:
            return
        dropped = await self._upkeep.dropped()
        if dropped == self._cleaned:
            return
        started_s = time.monotonic()
        try:
            if await self._upkeep.cleanse():
                self._cleaned = dropped
        finally:
            self._seldom.rest(time.monotonic() - started_s)


async def _again(
    step: Callable[[], Awaitable[None]], upkeep: Upkeep, *, pause_s: float
) -> None:
    said = ""
    while True:
        try:
            if upkeep.possible:
                await step()
        except StorageFailed:
            pass  # storage in trouble says so itself
        except (StorageError, sqlite3.Error, OSError, ValueError) as exc:
            if str(exc) != said:
                said = str(exc)
                _log.warning("what was removed is not cleaned up yet: %s", exc)
        await asyncio.sleep(pause_s)


async def convert(recorder: Recorder) -> None:
    """Write a file made before 0004 anew, so that it can be cleaned.

    Takes as much room again, and time; nobody else may be at work on the file.
    """
    if not await recorder.apply(can_scrub):
        await recorder.apply(write_anew)


def _forget_changes(connection: sqlite3.Connection, *, index: Path) -> None:
    if not index.exists():  # one that is made from now on reads all rows as they are
        connection.execute("DELETE FROM changed")


def _judge(
    connection: sqlite3.Connection, told: Sequence[Rejudged], judged_at: int
) -> int:
    done = (judgements.add(connection, one, judged_at=judged_at) for one in told)
    return sum(done)


def _link(connection: sqlite3.Connection, seqs: Iterable[int]) -> int:
    return sum(relink(connection, seq) for seq in seqs)


def _number(connection: sqlite3.Connection, *, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
