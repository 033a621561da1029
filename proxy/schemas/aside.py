"""Judges heavy cases in a process of its own, which is killed when it takes too long.

jsonschema-rs holds the interpreter's lock and cannot be stopped, so a thread would not
do; and what ends that process does not end the proxy.
"""

import asyncio
import logging
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from weakref import WeakValueDictionary

from proxy.schemas.cases import Case, Unknown
from proxy.schemas.finding import Found
from proxy.schemas.works import HEAD_BYTES, Word, packed, words, work

START_S = 30.0
"""For a process to start, on a machine that does a lot else."""

WAITS_PER_LIMIT = 5
"""Limits that a case waits for its turn at most."""

MAX_WAITING = 64
"""Cases of a project that wait; further ones are not judged."""

SHORT_CHARACTERS = 4 * 1024
"""A text by which it is the schema's fault that judging took too long."""

REMEMBERED_S = 300.0
MAX_REMEMBERED = 1000

TOO_LONG = Found("unchecked", "took_too_long")

_log = logging.getLogger(__name__)


class _Line:
    """Those of a project who wait: the turn is waited for by their first one alone."""

    def __init__(self) -> None:
        self.head = asyncio.Lock()
        self.waiting_count = 0


class Aside:
    """One process for heavy cases, started for the first one, and one case at a time.

    Projects take turns, so one that asks much waits for itself.

    Shapes: where it `remembers`, a schema by which even a short text took too long is
    left alone for a while.
    Units: `limit_s` is for each case, its start not counted.
    """

    def __init__(self, *, limit_s: float, remembers: bool = False) -> None:
        self._limit_s = limit_s
        self._slow: dict[bytes, float] | None = {} if remembers else None
        self._turn = asyncio.Lock()
        self._lines: WeakValueDictionary[str, _Line] = WeakValueDictionary()
        self._process: Process | None = None
        self._has_failed = False

    async def find(self, case: Case) -> Found:
        """Return what is found, `unchecked` where that took too long or too much."""
        line = self._lines.setdefault(case.project, _Line())
        if line.waiting_count >= MAX_WAITING or self._is_slow(case):
            return TOO_LONG
        line.waiting_count += 1
        try:
            async with asyncio.timeout(self._limit_s * WAITS_PER_LIMIT):
                await self._wait(line)
        except TimeoutError:
            return TOO_LONG
        finally:
            line.waiting_count -= 1
        try:
            if self._is_slow(case):  # found out while this one waited
                return TOO_LONG
            found = await self._ask(case)
        finally:
            self._turn.release()
            line.head.release()
        self._remember(case, found)
        return found

    async def close(self) -> None:
        """End the process."""
        await self._end()

    async def _wait(self, line: _Line) -> None:
        """Wait to be the first of a project, and then for that one's turn."""
        await line.head.acquire()
        try:
            await self._turn.acquire()
        except BaseException:
            line.head.release()
            raise

    def _is_slow(self, case: Case) -> bool:
        if not self._slow or isinstance(case.chosen, Unknown):
            return False
        until = self._slow.get(case.chosen.digest, 0.0)
        return asyncio.get_running_loop().time() < until

    def _remember(self, case: Case, found: Found) -> None:
        if self._slow is None or isinstance(case.chosen, Unknown):
            return
        if found == TOO_LONG and len(case.slot.text) <= SHORT_CHARACTERS:
            self._slow.pop(case.chosen.digest, None)
            until = asyncio.get_running_loop().time() + REMEMBERED_S
            self._slow[case.chosen.digest] = until
            if len(self._slow) > MAX_REMEMBERED:
                del self._slow[next(iter(self._slow))]

    async def _ask(self, case: Case) -> Found:
        """Return the last word on a case; one that says no more ends the process."""
        so_far: Found | None = None
        last = False
        try:
            into, out = await self._started()
            async with asyncio.timeout(self._limit_s):
                into.write(packed(work(case)))
                await into.drain()
                while not last:
                    word = await _word(out)
                    so_far, last = word.found, word.last
        except TimeoutError:
            return so_far or TOO_LONG
        except (OSError, asyncio.IncompleteReadError):
            return so_far or death(await self._end())
        finally:
            if not last:
                await asyncio.shield(self._end())
        return so_far or TOO_LONG

    async def _started(self) -> tuple[StreamWriter, StreamReader]:
        """Return the ends of the process, once it is ready to be asked."""
        if self._process is not None:
            return _ends(self._process)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # what lies in the current folder is not ours to import
            "-c",
            "from proxy.schemas.works import serve; serve()",
            str(self._limit_s),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a Ctrl-C at a terminal is for the proxy
        )
        into, out = _ends(self._process)
        try:
            async with asyncio.timeout(START_S):
                await _word(out)
        except (TimeoutError, asyncio.IncompleteReadError):
            if not self._has_failed:
                self._has_failed = True
                _log.warning("schemas: the process for heavy cases does not start")
            raise
        return into, out

    async def _end(self) -> int:
        """Kill the process, if there is one, and return how it ended."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
        return process.returncode or 0


def _ends(process: Process) -> tuple[StreamWriter, StreamReader]:
    if process.stdin is None or process.stdout is None:
        raise BrokenPipeError  # pragma: no cover  it was started with both
    return process.stdin, process.stdout


async def _word(source: StreamReader) -> Word:
    size_bytes = int.from_bytes(await source.readexactly(HEAD_BYTES), "big")
    return words.decode(await source.readexactly(size_bytes))


def death(returncode: int) -> Found:
    """Return what the end of the process says of the case that it was at."""
    if returncode == -signal.SIGSEGV:  # the end of the stack
        return Found("unchecked", "too_deep")
    if returncode in {0, -signal.SIGALRM}:
        return TOO_LONG
    return Found("unchecked", "too_large")
