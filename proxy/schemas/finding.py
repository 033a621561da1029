"""Finds what one slot's JSON is by its schema, the same in every process."""

from collections.abc import Callable

from msgspec import Struct

from proxy.schemas import extract, strict
from proxy.schemas.cases import Bound, Case, Unknown
from proxy.schemas.compile import Compiler
from proxy.schemas.document import SchemaRefused
from storage.records import Fault, Json, Verdict
from storage.writable import writable

MAX_CHARACTERS = 2 * 1024 * 1024
"""Of a text that is judged: several times what models write; it takes up to 200 MiB."""

LISTED_CHARACTERS = 64 * 1024
"""Of a text all of whose faults are made; of a longer one only the first is told."""

MAX_NAME_CHARACTERS = 64
"""Of the name of a tool that the model made up."""

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


def find(
    case: Case, compiler: Compiler, tell: Callable[[], None] | None = None
) -> Found:
    """Return what is found; `tell` is called once it is sure that a value is invalid.

    For listing the faults can take much longer than finding that there are some.
    """
    if isinstance(case.chosen, Unknown):
        return Found("unchecked", "unknown_schema")
    if case.slot.kind == "refusal":
        return Found("refused")
    if len(case.slot.text) > MAX_CHARACTERS:
        return Found("unchecked", "too_large")
    return _judged(case, case.chosen, compiler, tell)


def _judged(
    case: Case, chosen: Bound, compiler: Compiler, tell: Callable[[], None] | None
) -> Found:
    try:
        schema = compiler.compiled(chosen.digest, chosen.document)
        value = _value(case)
        if schema.holds(value):
            return Found("valid")
        if tell is not None:
            tell()
        most = strict.MAX_FAULTS if len(case.slot.text) <= LISTED_CHARACTERS else 1
        faults = schema.listed(value, most)
    except strict.NotJson as error:
        return _no_json(case, error)
    except strict.Unsound as error:
        faults = error.faults
    except (SchemaRefused, strict.TooLarge, RecursionError) as error:
        return Found("unchecked", REASONS[type(error)])
    return Found("invalid", faults=faults)


def _no_json(case: Case, error: strict.NotJson) -> Found:
    if not case.kept:
        return Found("unchecked", "not_kept")
    if not case.ended and not (error.behind and case.slot.kind == "call"):
        return Found("truncated")
    return Found("invalid", faults=(Fault("", "", str(error)),))


def _value(case: Case) -> Json:
    slot = case.slot
    if slot.kind == "missing":
        which = f"The tool {slot.tool}" if slot.tool else "A tool"
        raise strict.NotJson(f"{which} was to be called and was not.", 0)
    if slot.kind == "foreign":
        name = writable(slot.tool[:MAX_NAME_CHARACTERS])
        raise strict.NotJson(f"The tool {name} was not offered.", 0)
    if slot.kind == "call":
        return extract.arguments(slot.text, ended=case.ended)
    return extract.content(slot.text, ended=case.ended)
