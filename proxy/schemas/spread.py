"""Judges what was recorded in as many processes as there are cores.

Judging holds the interpreter lock and cannot be stopped, so each process tells which
exchange it is at: one that stays too long costs its process, and is told `unchecked`.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from ctypes import CDLL, c_longlong
from multiprocessing.connection import Connection, wait
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

import msgspec

from proxy.schemas.aside import TOO_LONG, death
from proxy.schemas.finding import Found
from proxy.schemas.history import History, Seat, Verdicts
from proxy.schemas.judge import Bound
from proxy.schemas.tally import Findings
from storage.answers import Chosen
from storage.reading import open_library
from storage.records import Judgement

AT_ONCE = 1024
"""Exchanges of one task: some 30 ms."""

LONGEST_S = 5.0
"""For one exchange; a million of them are judged in half a minute."""

_LOOK_EVERY_S = 0.5

_NICE = 10  # a server that runs beside has its traffic first

_PR_SET_PDEATHSIG = 1  # prctl(2)

_processes = multiprocessing.get_context("spawn")


class Job(msgspec.Struct, frozen=True):
    """What every process needs: the file, the schema, and whether all is to be told."""

    db: Path
    bound: Bound
    wants_all: bool = False


def cores() -> int:
    """Return how many processes are worth their while."""
    return len(os.sched_getaffinity(0))


def spread(
    job: Job, tasks: Iterable[Chosen], *, workers: int, longest_s: float = LONGEST_S
) -> Generator[Verdicts, None, None]:
    """Yield what the tasks come to, as they end; memory stays flat.

    Raises: `RuntimeError` where processes end by themselves.
    """
    with closing(_Spread(job, workers, longest_s)) as its:
        yield from its.run(iter(tasks))


class _Worker:
    """One process, and the task that it is at."""

    def __init__(self, job: Job) -> None:
        self.pipe, theirs = _processes.Pipe()
        self.seat: Seat = RawValue(c_longlong, 0)
        self.process = _processes.Process(
            target=_work, args=(job, theirs, self.seat), daemon=True
        )
        self.process.start()
        theirs.close()
        self.task: Chosen | None = None
        self._seen = (0, 0.0)

    def give(self, task: Chosen) -> None:
        self.task = task
        self._seen = (0, time.monotonic())
        with suppress(BrokenPipeError):  # it has ended: reading from it tells
            self.pipe.send(task)

    def stays_s(self) -> float:
        """Return for how long it is at the same exchange."""
        at, since_s = self._seen
        now_s = time.monotonic()
        if self.seat.value != at:
            self._seen = (self.seat.value, now_s)
            return 0.0
        return now_s - since_s if at else 0.0  # a process that starts takes its time

    @property
    def stays_at(self) -> int:
        """The number of the exchange that `stays_s` is about."""
        return self._seen[0]

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


class _Spread:
    def __init__(self, job: Job, workers: int, longest_s: float) -> None:
        self._job = job
        self._most = max(workers, 1)
        self._longest_s = longest_s
        self._workers: list[_Worker] = []
        self._again: deque[Chosen] = deque()

    def run(self, tasks: Iterator[Chosen]) -> Iterator[Verdicts]:
        while True:
            self._feed(tasks)
            busy = {w.pipe: w for w in self._workers if w.task is not None}
            if not busy:
                return
            for pipe in wait(list(busy), _LOOK_EVERY_S):
                if isinstance(pipe, Connection):
                    yield self._received(busy[pipe])
            for worker in list(self._workers):
                if worker.task is not None and worker.stays_s() > self._longest_s:
                    yield self._interrupted(worker)

    def close(self) -> None:
        for worker in self._workers:
            worker.end()

    def _feed(self, tasks: Iterator[Chosen]) -> None:
        while True:
            idle = next((w for w in self._workers if w.task is None), None)
            if idle is None and len(self._workers) == self._most:
                return
            task = self._again.popleft() if self._again else next(tasks, None)
            if task is None:
                return
            if idle is None:
                idle = _Worker(self._job)
                self._workers.append(idle)
            idle.give(task)

    def _received(self, worker: _Worker) -> Verdicts:
        """Return what a process says, or what its end says of where it was."""
        try:
            verdicts: Verdicts = worker.pipe.recv()
        except (EOFError, ConnectionError) as exc:
            worker.process.join()
            code = worker.process.exitcode or 0
            if not worker.seat.value:
                raise RuntimeError(f"a process that judged ended with {code}") from exc
            return self._give_up(worker, death(code))
        worker.task = None
        return verdicts

    def _interrupted(self, worker: _Worker) -> Verdicts:
        """Give up the exchange that a process stays at, unless it just went on."""
        task = worker.task
        worker.end()
        if task is None or worker.seat.value == worker.stays_at:
            return self._give_up(worker, TOO_LONG)
        self._workers.remove(worker)
        self._again.append(task)
        return Verdicts(Findings())

    def _give_up(self, worker: _Worker, found: Found) -> Verdicts:
        """End a process, and have the rest of its task done again."""
        self._workers.remove(worker)
        worker.end()
        at = worker.seat.value
        if worker.task is not None:
            self._again += _without(worker.task, at)
        bound = self._job.bound
        told = Judgement(
            slot="",
            schema=bound.ref,
            digest=bound.digest,
            why=bound.why,
            verdict=found.verdict,
            reason=found.reason,
        )
        findings = Findings()
        findings.add("", None, (told,))
        return Verdicts(findings, [(at, (told,))] if self._job.wants_all else [])


def _without(task: Chosen, seq: int) -> list[Chosen]:
    """Return what is left of a task without one exchange."""
    if isinstance(task, tuple):
        low, high = task
        parts = [(low, seq - 1), (seq + 1, high)]
        return [part for part in parts if part[0] <= part[1]]
    return [[other for other in task if other != seq]]


def _work(job: Job, pipe: Connection, seat: Seat) -> None:
    """Judge what comes through the pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    os.nice(_NICE)
    CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # what hangs ends with it, too
    with open_library(job.db) as library:
        history = History(library, job.bound, wants_all=job.wants_all)
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            found = history.judge(task, seat)
            seat.value = 0
            pipe.send(found)
