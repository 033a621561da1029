"""Keeps room on the disk: a watermark before it is full, a reserve for when it is.

The first two lines of defence (reliability.md 2.5). Others fill a disk too; what the
reserve gives back is room for us to notice, say so, and lose nothing yet.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from storage.errors import NoRoom

_log = logging.getLogger(__name__)

_LOOK_EVERY_NS = 1_000_000_000

_MIB = 1024 * 1024


class Room:
    """Watches the file system of one database; holds `<database>.reserve` while open.

    `low` says that what may be under way might not find room any more.
    Units: `busy_bytes` is the most that may wait to be written at one time.
    """

    def __init__(
        self,
        database: Path,
        *,
        reserve_bytes: int,
        busy_bytes: int,
        monotonic_ns: Callable[[], int],
    ) -> None:
        self.low = False
        self._folder = database.parent
        self._path = database.with_name(database.name + ".reserve")
        self._reserve_bytes = reserve_bytes
        self._low_bytes = reserve_bytes + busy_bytes
        self._monotonic_ns = monotonic_ns
        self._looked_ns: int | None = None

    @property
    def free_bytes(self) -> int:
        """What a program may still write there, the reserve not counted."""
        return free_bytes(self._folder)

    @property
    def held_bytes(self) -> int:
        """How large the reserve is now."""
        return _size(self._path)

    @property
    def whole(self) -> bool:
        """Whether there is room, and the reserve has its size."""
        return not self.low and self.held_bytes >= self._reserve_bytes

    def open(self, spool: Path, *, max_spool_bytes: int) -> None:
        """Make the reserve.

        Raises: `NoRoom` where it, and a full spool, would not fit; `OSError`.
        """
        needs = {self._folder: self._reserve_bytes - self.held_bytes}
        same = _device(spool.parent) == _device(self._folder)
        at = self._folder if same else spool.parent
        needs[at] = needs.get(at, 0) + max_spool_bytes - _size(spool)
        for folder, need in needs.items():
            if free_bytes(folder) < need:
                raise NoRoom(
                    f"{folder} has {free_bytes(folder) // _MIB} MiB free, and "
                    f"{need // _MIB} MiB are needed: make room, or set reserve_bytes "
                    "and max_spool_bytes lower"
                )
        self._hold()
        self.look()

    def look(self) -> None:
        """Look, at most once a second, and restore the reserve once there is room."""
        now_ns = self._monotonic_ns()
        if self._looked_ns is not None and now_ns - self._looked_ns < _LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        missing = self._reserve_bytes - self.held_bytes
        if missing > 0 and self.free_bytes - missing >= self._low_bytes:
            with suppress(OSError):  # somebody was faster: asked again in a second
                self._hold()
        free = self.free_bytes
        low = free < self._low_bytes
        if low != self.low:
            self.low = low
            tell = _log.error if low else _log.info
            state = "low" if low else "enough again"
            tell("room in %s is %s: %d MiB free", self._folder, state, free // _MIB)

    def give(self) -> bool:
        """Give the reserve to a full disk; return whether there was one to give."""
        if not self.held_bytes:
            return False
        with suppress(OSError):
            os.truncate(self._path, 0)
            _log.error("%s is full: its reserve is in use now", self._folder)
            return True
        return False

    def close(self) -> None:
        """Remove the reserve: between runs there is nothing to be saved with it."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _hold(self) -> None:
        if not self._reserve_bytes:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, self._reserve_bytes)
        except OSError:
            os.ftruncate(file, 0)  # half a reserve would take what others still have
            raise
        finally:
            os.close(file)


def free_bytes(folder: Path) -> int:
    """Return what a program without privileges may still write in a folder."""
    told = os.statvfs(folder)
    return told.f_bavail * told.f_frsize


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
