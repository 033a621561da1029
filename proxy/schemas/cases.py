"""Chooses what is judged by which schema: the parts of an answer, each with its own.

Source: wire 7.1 and 7.3.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import TypeAlias

from msgspec import Struct

from proxy.schemas import slots
from proxy.schemas.carried import CARRIERS, NOTHING, Carried, Carry, carried
from proxy.schemas.slots import Part, Slot
from storage.records import Endpoint, Json

MAX_CASES = 256
"""Judged in one answer: twice as many as choices or calls are taken (`MAX_INDEX`)."""


class Bound(Struct, frozen=True, tag=True):
    """A registered schema that applies.

    Shapes: `ref` is `name@version`, `digest` the SHA-256 of `document`; `why` is
    `header`, `tag` or `binding:7`; with a `tool` only the calls of that one are meant.
    """

    ref: str
    digest: bytes
    document: bytes
    why: str
    tool: str = ""


class Unknown(Struct, frozen=True, tag=True):
    """A schema that was asked for and is not registered."""

    ref: str
    why: str
    tool: str = ""


Chosen: TypeAlias = Bound | Unknown


class Question(Struct, frozen=True, kw_only=True):
    """An answer to judge, with what was asked.

    Shapes: `request` is the body as the client sent it, `answer` the assembled object,
    `bound` what the registry says applies, in order of precedence; `kept` is false
    where only a part of the answer's bytes was, `named` where the names of its calls
    are in doubt; projects take turns in what is heavy.
    """

    endpoint: Endpoint
    request: bytes
    answer: dict[str, Json]
    complete: bool
    status: int
    bound: tuple[Chosen, ...] = ()
    kept: bool = True
    named: bool = True
    project: str = ""


class Case(Struct, frozen=True):
    """One slot and the schema that it is judged by."""

    slot: Slot
    chosen: Chosen
    ended: bool
    kept: bool
    project: str = ""

    @property
    def carried(self) -> bool:
        """Whether a client made the schema."""
        return self.chosen.why in CARRIERS


def cases(question: Question) -> Iterator[Case]:
    """Return what is judged by which schema, the first `MAX_CASES`."""
    return islice(_cases(question), MAX_CASES)


def _cases(question: Question) -> Iterator[Case]:
    if not 200 <= question.status < 400:
        return
    if question.complete and question.answer.get("status") in slots.WORKED_ON:
        return  # the answer to `background`: there is none so far
    carries = carried(question.endpoint, question.request)
    if not question.bound and carries == NOTHING:
        return
    if not question.named:
        carries = carries.unsure()
    for part in slots.parts(question.endpoint, question.answer):
        for slot, chosen in _choose(part, question.bound, carries):
            ended = question.complete and question.kept and part.ended
            yield Case(slot, chosen, ended, question.kept, question.project)


def _choose(
    part: Part, bound: Sequence[Chosen], carries: Carried
) -> Iterator[tuple[Slot, Chosen]]:
    """Yield the slots of a part that a schema is for, each with the first such."""
    loose = next((one for one in bound if not one.tool), None)
    content = loose or _given(carries.content)
    texts, calls, refusals = part.of("text"), part.of("call"), part.of("refusal")
    due = _offered(bound, carries) if carries.needs_call else None
    asked = content or due
    if asked:
        yield from ((slot, asked) for slot in refusals)
    if content and not refusals:  # what is said beside one is no answer
        yield from ((slot, content) for slot in texts)
    called = {slot.tool for slot in calls}
    # Beside the call that was due, one of what was not offered breaks no binding.
    breakable = () if carries.meant in called else bound
    for slot in calls:
        chosen = _of_call(slot.tool, bound, carries, texts=bool(texts))
        if chosen:
            yield slot, chosen
        elif not carries.offers(slot.tool) and (its := _offered(breakable, carries)):
            yield Slot(slot.at, "foreign", "", slot.tool), its
    if refusals:
        return
    if content and not texts and not calls:
        yield Slot(part.at, "text", ""), content
    elif (
        due
        and not content
        and not carries.satisfied(called, calls_else=part.calls_else)
    ):
        yield Slot(part.at, "missing", "", carries.meant), due


def _offered(bound: Sequence[Chosen], carries: Carried) -> Chosen | None:
    """Return what an answer breaks in which the right call is not.

    Shapes: where several tools could have been called, the first schema among theirs.
    """
    if carries.meant:
        return _of_tool(carries.meant, bound, carries)
    return _given(next(iter(carries.tools.values()), None))


def _of_call(
    tool: str, bound: Sequence[Chosen], carries: Carried, *, texts: bool
) -> Chosen | None:
    """Return the schema of a call's arguments.

    A registered schema that names no tool is for a call that was asked for as the
    answer itself: other calls are steps on the way, with schemas of their own.
    """
    is_answer = not texts and (not carries.names or tool == carries.meant)
    if is_answer:
        for one in bound:
            if one.tool in {"", tool}:
                return one
    return _of_tool(tool, bound, carries)


def _of_tool(tool: str, bound: Sequence[Chosen], carries: Carried) -> Chosen | None:
    for one in bound:
        if one.tool == tool:
            return one
    return _given(carries.tools.get(tool))


def _given(carry: Carry | None) -> Bound | None:
    """Return a schema of the request's as one that applies."""
    if carry is None:
        return None
    digest = sha256(carry.document).digest()
    return Bound(carry.name, digest, carry.document, carry.why)
