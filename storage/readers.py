"""Lends reading connections to threads, a few at a time, each for a bounded time.

A read under way keeps the log from starting over, so none may last: what takes longer
than it may is broken off, and no connection reads between two calls.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from storage.errors import CannotOpen, ReadTooLong, TooManyReads
from storage.reading import Library

T = TypeVar("T")

_AGAIN_S = 0.05
"""An interruption meets only the statement under way: until the end it is repeated."""


class _Loan:
    """One call's connection, as far as others may break off what it reads."""

    def __init__(self) -> None:
        self.library: Library | None = None
        self.broken_off = False

    def break_off(self) -> None:
        self.broken_off = True
        if self.library is not None:
            self.library.break_off()


class Readers:
    """Runs functions on reading connections of one file; belongs to one event loop.

    Shapes: `most_at_once` run at a time, and `most_waiting` wait for their turn.
    """

    def __init__(
        self, path: Path, *, most_at_once: int = 2, most_waiting: int = 64
    ) -> None:
        self._path = path
        self._threads = ThreadPoolExecutor(most_at_once, thread_name_prefix="reader")
        self._turns = asyncio.Semaphore(most_at_once)
        self._most_waiting = most_waiting
        self._waiting = 0
        self._idle: list[tuple[int, Library]] = []  # with the number of their file

    async def run(self, function: Callable[[Library], T], *, timeout_s: float) -> T:
        """Return what a function reads, which may leave no cursor behind.

        Who stops waiting breaks it off.
        Units: `timeout_s` seconds for the reading, without the wait for a turn.
        Raises: `TooManyReads`; `ReadTooLong`; `CannotOpen` for what SQLite says; what
        the function raises.
        """
        if self._waiting >= self._most_waiting:
            raise TooManyReads(
                f"{self._waiting} questions wait for an answer already: come again"
            )
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        loan = _Loan()
        try:
            return await self._bounded(function, loan, timeout_s)
        except sqlite3.Error as exc:
            if loan.broken_off:
                raise ReadTooLong(
                    f"reading took longer than {timeout_s:g} s: ask for less at once"
                ) from exc
            raise CannotOpen(f"{self._path} cannot be read: {exc}") from exc
        finally:
            self._turns.release()

    def close(self) -> None:
        """Close all connections, once nobody calls any more."""
        self._threads.shutdown()
        while self._idle:
            self._idle.pop()[1].close()

    async def _bounded(
        self, function: Callable[[Library], T], loan: _Loan, timeout_s: float
    ) -> T:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, self._lend, function, loan)
        left_s = timeout_s
        while True:
            try:
                done, _ = await asyncio.wait((work,), timeout=left_s)
            except asyncio.CancelledError:
                while not work.done():  # its turn ends with it
                    loan.break_off()
                    await asyncio.wait((work,), timeout=_AGAIN_S)
                work.exception()  # nobody is left to be told of it
                raise
            if done:
                return work.result()
            loan.break_off()
            left_s = _AGAIN_S

    def _lend(self, function: Callable[[Library], T], loan: _Loan) -> T:
        """Call a function with a connection; runs in a thread."""
        number, library = self._take()
        loan.library = library
        try:
            result = function(library)
        except BaseException:  # perhaps in the middle of a read
            loan.library = None
            library.close()
            raise
        loan.library = None
        self._idle.append((number, library))
        return result

    def _take(self) -> tuple[int, Library]:
        """Return a connection to the file that is there now.

        One that was damaged is set aside, and a new one has its name.
        Raises: `CannotOpen`, between the two also.
        """
        try:
            number = self._path.stat().st_ino
        except OSError as exc:
            raise CannotOpen(f"{self._path} cannot be read: {exc.strerror}") from exc
        while self._idle:
            its, library = self._idle.pop()
            if its == number:
                return its, library
            library.close()
        return number, Library.open(self._path, any_thread=True)
