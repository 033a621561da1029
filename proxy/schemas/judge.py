"""Judges an answer: says of each of its parts what the schema finds.

Traffic never fails here: what cannot be judged is `unchecked`, with the reason.
"""

import asyncio
import logging
import re
from collections.abc import Sequence

from proxy.schemas.aside import TOO_LONG, Aside
from proxy.schemas.cases import Bound, Case, Chosen, Question, Unknown, cases
from proxy.schemas.compile import Compiler, load
from proxy.schemas.finding import MAX_CHARACTERS, Found, find
from proxy.schemas.weight import Weight
from storage.judgements import WORST_FIRST
from storage.records import Judgement, Verdict

INLINE_CHARACTERS = 64 * 1024
"""Of one answer that are judged on the event loop."""

INLINE_DOCUMENT_BYTES = 32 * 1024
"""Of schemas that are read and compiled there for one answer: some 6 ms."""

INLINE_REQUEST_BYTES = 64 * 1024
"""Of a request whose schemas are looked for there; in a larger one, in a thread."""

INLINE_WORK = 4_000_000
"""Schemas times characters of one answer that are judged there: some 10 ms at worst."""

INLINE_FAULTS = 4 * 1024
"""Characters of a text whose faults are listed on the event loop."""

INLINE_BRANCHES = 4000
"""Characters times branches of such a text: each fault of a branch takes 24 µs."""

_LONG_NUMBER = re.compile("[0-9]{20}")
"""A number that a machine's own do not hold: to divide or compare some takes 100 ms."""

LIMIT_S = 2.0

FAILED = Found("unchecked", "failed")
"""What is said where judging itself went wrong."""

_FAULTS = (ValueError, RecursionError, ImportError, OSError, MemoryError)
"""How it goes wrong: nobody foresaw it, or the library does not load."""

_log = logging.getLogger(__name__)


def judge(question: Question, compiler: Compiler) -> tuple[Judgement, ...]:
    """Return what is to be said of an answer, part by part; () where no schema is.

    Shapes: an answer with an error status is not judged. For registered schemas and in
    processes that may stand still; in traffic `Judge` bounds the time.
    """
    return tuple(_judgement(case, find(case, compiler)) for case in cases(question))


def summary(
    judgements: Sequence[Judgement],
) -> tuple[str | None, Verdict | None, str | None]:
    """Return schema, verdict and first fault's place of the worst judgement.

    >>> summary(())
    (None, None, None)
    """
    if not judgements:
        return None, None, None
    worst = min(judgements, key=lambda one: WORST_FIRST.index(one.verdict))
    at = worst.faults[0].at if worst.faults else None
    return worst.schema, worst.verdict, at


class _Room:
    """What may still be done on the event loop for one answer."""

    def __init__(self) -> None:
        self._characters: float = INLINE_CHARACTERS
        self._work: float = INLINE_WORK
        self._document_bytes: float = INLINE_DOCUMENT_BYTES

    def takes_document(self, document: bytes) -> bool:
        """Return whether a document can be read and compiled, and take its room."""
        if len(document) > self._document_bytes:
            return False
        self._document_bytes -= len(document)
        return True

    def takes(self, weight: Weight, characters: int) -> bool:
        """Return whether a text can be judged, and take its room."""
        work = weight.nodes * characters
        if characters > self._characters or work > self._work:
            return False
        self._characters -= characters
        self._work -= work
        return True


class Judge:
    """Judges without ever keeping the event loop: what is heavy is done aside.

    What the operator registered has a process of its own, which no client can keep
    busy with schemas that it made.

    Units: `limit_s` is for a heavy case, and for beginning further ones of an answer.
    """

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._compiler = Compiler()
        self._aside = Aside(limit_s=limit_s)
        self._aside_for_carried = Aside(limit_s=limit_s, remembers=True)
        self._limit_s = limit_s
        self._has_failed = False
        self._is_loaded = False

    async def prepare(self) -> None:
        """Load at start what judging needs; where that fails, say so and go on."""
        try:
            await self._load()
        except _FAULTS:
            self._has_failed = True
            _log.exception("schemas: what judges does not load: nothing is judged")

    async def ask(self, question: Question) -> tuple[Judgement, ...]:
        """Return the judgements of an answer; never raises for what was sent."""
        judgements = []
        room = _Room()
        heavy: float | None = None  # until when there is time for heavy cases
        for case in await self._cases(question):
            try:
                await self._load()
                found = self._quick(case, room)
                if found is None:
                    now = asyncio.get_running_loop().time()
                    heavy = heavy or now + self._limit_s
                    aside = self._aside_for_carried if case.carried else self._aside
                    found = TOO_LONG if now > heavy else await aside.find(case)
            except _FAULTS:
                found = self._failed()
            judgements.append(_judgement(case, found))
        return tuple(judgements)

    async def close(self) -> None:
        """End the processes aside; nothing is asked after."""
        await self._aside.close()
        await self._aside_for_carried.close()

    async def _cases(self, question: Question) -> list[Case]:
        try:
            if len(question.request) <= INLINE_REQUEST_BYTES:
                found = list(cases(question))
            else:
                found = await asyncio.to_thread(list, cases(question))
        except _FAULTS:
            self._failed()
            return []
        return found

    async def _load(self) -> None:
        if not self._is_loaded:
            await asyncio.to_thread(load)
            self._is_loaded = True

    def _failed(self) -> Found:
        """Return what is said of a case that nobody foresaw; tell the first one."""
        if not self._has_failed:
            self._has_failed = True
            _log.exception("schemas: an answer could not be judged; told once")
        return FAILED

    def _quick(self, case: Case, room: _Room) -> Found | None:
        """Return what is found on the event loop, None where that would take long."""
        chosen, characters = case.chosen, len(case.slot.text)
        if isinstance(chosen, Unknown) or characters > MAX_CHARACTERS:
            return find(case, self._compiler)
        is_ready = self._compiler.is_ready(chosen.digest)
        if not is_ready and not room.takes_document(chosen.document):
            return None
        weight = self._compiler.weight(chosen.digest, chosen.document)
        if _is_heavy(weight, case.slot.text) or not room.takes(weight, characters):
            return None
        if (
            characters <= INLINE_FAULTS
            and weight.branches * characters <= INLINE_BRANCHES
        ):
            return find(case, self._compiler)
        try:
            return find(case, self._compiler, _leave)
        except _HasManyFaultsError:
            return None


class _HasManyFaultsError(Exception):
    """A long answer is invalid: its faults are listed aside."""


def _is_heavy(weight: Weight, text: str) -> bool:
    """Return whether judging a text can take long."""
    if not weight.light:
        return True
    return weight.counts and _LONG_NUMBER.search(text) is not None


def _leave() -> None:
    raise _HasManyFaultsError


def _judgement(case: Case, found: Found) -> Judgement:
    chosen = case.chosen
    return Judgement(
        slot=case.slot.at,
        schema=chosen.ref,
        digest=b"" if isinstance(chosen, Unknown) else chosen.digest,
        why=chosen.why,
        verdict=found.verdict,
        reason=found.reason,
        faults=found.faults,
    )


__all__ = [
    "Bound",
    "Chosen",
    "Compiler",
    "Judge",
    "Question",
    "Unknown",
    "judge",
    "summary",
]
