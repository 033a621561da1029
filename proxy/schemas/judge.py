"""Judges an answer: says of each of its parts what the schema finds.

Traffic never fails here: what cannot be judged is `unchecked`, with the reason.
"""

from collections.abc import Sequence

from msgspec import Struct

from proxy.schemas import extract, strict
from proxy.schemas.cases import Bound, Case, Chosen, Question, Unknown, cases, concerns
from proxy.schemas.compile import Compiler
from proxy.schemas.document import SchemaRefused
from storage.records import Fault, Json, Judgement, Verdict

WORST_FIRST: tuple[Verdict, ...] = (
    "invalid",
    "truncated",
    "refused",
    "unchecked",
    "valid",
)

REASONS: dict[type[Exception], str] = {
    SchemaRefused: "schema_refused",
    strict.TooLarge: "too_large",
    RecursionError: "too_deep",
}


class Found(Struct, frozen=True):
    """What judging one slot found, as in `Judgement`."""

    verdict: Verdict
    reason: str = ""
    faults: tuple[Fault, ...] = ()


def judge(question: Question, compiler: Compiler) -> tuple[Judgement, ...]:
    """Return what is to be said of an answer, part by part; () where no schema is.

    Shapes: an answer with an error status is not judged.
    """
    return tuple(decide(case, compiler) for case in cases(question))


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


def decide(case: Case, compiler: Compiler) -> Judgement:
    """Return the judgement of one slot."""
    chosen = case.chosen
    if isinstance(chosen, Unknown):
        found = Found("unchecked", "unknown_schema")
    elif case.slot.kind == "refusal":
        found = Found("refused")
    else:
        found = _found(case, chosen, compiler)
    return Judgement(
        slot=case.slot.at,
        schema=chosen.ref,
        digest=b"" if isinstance(chosen, Unknown) else chosen.digest,
        why=chosen.why,
        verdict=found.verdict,
        reason=found.reason,
        faults=found.faults,
    )


def _found(case: Case, chosen: Bound, compiler: Compiler) -> Found:
    """Return what one slot's JSON is by its schema."""
    try:
        schema = compiler.compiled(chosen.digest, chosen.document)
        faults = schema.faults(_value(case))
    except strict.NotJson as error:
        return _no_json(case, error)
    except strict.Unsound as error:
        faults = error.faults
    except (SchemaRefused, strict.TooLarge, RecursionError) as error:
        return Found("unchecked", REASONS[type(error)])
    return Found("invalid" if faults else "valid", faults=faults)


def _no_json(case: Case, error: strict.NotJson) -> Found:
    if not case.kept:
        return Found("unchecked", "not_kept")
    if not case.ended and not error.behind:
        return Found("truncated")
    return Found("invalid", faults=(Fault("", "", str(error)),))


def _value(case: Case) -> Json:
    slot = case.slot
    if slot.kind == "missing":
        raise strict.NotJson(f"The tool {slot.tool} was to be called and was not.", 0)
    if not isinstance(slot.value, str):
        return slot.value
    if slot.kind == "call":
        return extract.arguments(slot.value)
    return extract.content(slot.value, ended=case.ended)


class Judge:
    """What the live path and the commands hold: judging that never takes long."""

    def __init__(self, compiler: Compiler | None = None) -> None:
        self._compiler = compiler or Compiler()

    async def ask(self, question: Question) -> tuple[Judgement, ...]:
        """Return the judgements of an answer."""
        return judge(question, self._compiler)

    async def close(self) -> None:
        """Let go of what judging holds; nothing is asked after."""


__all__ = [
    "Bound",
    "Chosen",
    "Compiler",
    "Judge",
    "Question",
    "Unknown",
    "cases",
    "concerns",
    "decide",
    "judge",
    "summary",
]
