"""Judges an answer: says of each of its parts what the schema finds.

Traffic never fails here: what cannot be judged is `unchecked`, with the reason.
"""

import asyncio
from collections.abc import Sequence

from proxy.schemas.aside import TOO_LONG, Aside
from proxy.schemas.cases import Bound, Case, Chosen, Question, Unknown, cases, concerns
from proxy.schemas.compile import Compiler
from proxy.schemas.finding import MAX_CHARACTERS, Found, find
from storage.judgements import WORST_FIRST
from storage.records import Judgement, Verdict

INLINE_CHARACTERS = 64 * 1024
"""Of one answer that are judged on the event loop."""

INLINE_WORK = 4_000_000
"""Schemas times characters that are judged on the event loop: some 10 ms at worst."""

INLINE_FAULTS = 4 * 1024
"""Characters of a text whose faults are listed on the event loop."""

INLINE_BRANCHES = 4000
"""Characters times branches of such a text: each fault of a branch takes 24 µs."""

LIMIT_S = 2.0


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


class Judge:
    """Judges without ever keeping the event loop: what is heavy is done aside.

    Units: `limit_s` is for a heavy case, and for beginning further ones of an answer.
    """

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._compiler = Compiler()
        self._aside = Aside(limit_s=limit_s)
        self._limit_s = limit_s

    async def ask(self, question: Question) -> tuple[Judgement, ...]:
        """Return the judgements of an answer; never raises for what was sent."""
        judgements = []
        room = INLINE_CHARACTERS
        heavy: float | None = None  # until when there is time for heavy cases
        for case in cases(question):
            found = self._quick(case, room)
            if found is None:
                now = asyncio.get_running_loop().time()
                heavy = heavy or now + self._limit_s
                found = TOO_LONG if now > heavy else await self._aside.find(case)
            room -= len(case.slot.text)
            judgements.append(_judgement(case, found))
        return tuple(judgements)

    async def close(self) -> None:
        """End the process aside; nothing is asked after."""
        await self._aside.close()

    def _quick(self, case: Case, room: int) -> Found | None:
        """Return what is found on the event loop, None where that would take long."""
        chosen, characters = case.chosen, len(case.slot.text)
        if isinstance(chosen, Unknown) or characters > MAX_CHARACTERS:
            return find(case, self._compiler)
        weight = self._compiler.weight(chosen.digest, chosen.document)
        if characters > room or not weight.light:
            return None
        if weight.nodes * characters > INLINE_WORK:
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
    "concerns",
    "judge",
    "summary",
]
