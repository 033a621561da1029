"""Sees to it that a file holds none of what was removed, nor the room it took."""

import asyncio
from functools import partial
from pathlib import Path

from storage.engines.scrub import FIRST, Scrub
from storage.engines.sqlite import give_back
from storage.recorder import Recorder

# Pages that one slice moves or takes off: a few milliseconds, in which nothing commits.
_PAGES = 64

# A reader that is at work holds the log for as long; it is asked again meanwhile.
_PATIENCE_S = 10.0
_PAUSE_S = 0.02


class Upkeep:
    """Works on the file of one recorder, in slices between its batches."""

    def __init__(self, recorder: Recorder, path: Path) -> None:
        self._recorder = recorder
        self._path = path
        self._scrub: Scrub | None = None

    async def shrink(self) -> None:
        """Give back the room of all that was removed. Raises: `StorageFailed`."""
        left = -1
        while left:
            before = left
            left = await self._recorder.apply(partial(give_back, pages=_PAGES))
            if left == before:
                break

    async def cleanse(self) -> bool:
        """Leave nothing of what was removed, in log or file; return whether that is so.

        It is not where somebody reads the file all the time.
        Raises: `StorageFailed`; `ValueError` where the file was made before 0004.
        """
        scrub = self._scrub = self._scrub or Scrub(self._path)
        at, tries = FIRST, int(_PATIENCE_S / _PAUSE_S)
        while tries:
            following = await self._recorder.apply(partial(scrub.step, at=at))
            if following is None:
                return True
            if following == at:
                tries -= 1
                await asyncio.sleep(_PAUSE_S)
            at = following
        return False
