"""Judges exchanges that were recorded, against one schema; the file is only read."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from proxy import reread
from proxy.schemas import extract, strict
from proxy.schemas.judge import Bound, Compiler, Question, judge
from proxy.schemas.slots import CUT_SHORT
from proxy.schemas.tally import Findings
from storage.answers import Answered, Answers, Chosen
from storage.reading import Library
from storage.records import Fault, Json, Judgement
from storage.verify import DAMAGE

WHY = "history"

MOST_QUICK_CHARACTERS = 64 * 1024
"""Of a text that is judged on the short way."""


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str | None = None


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_CONTENT = "/choices/0/message/content"
_ARGUMENTS = "/choices/0/message/tool_calls/0/function/arguments"
_decode = msgspec.json.Decoder(_Completion).decode


class Seat(Protocol):
    """Where others see the number of the row that is judged."""

    value: int


class Verdicts(msgspec.Struct):
    """What some exchanges came to.

    Shapes: `judgements` by the number of the row, only where they were asked for.
    """

    findings: Findings
    judgements: list[tuple[int, tuple[Judgement, ...]]] = []


class History:
    """Judges by one schema what one reader reads."""

    def __init__(
        self, library: Library, bound: Bound, *, wants_all: bool = False
    ) -> None:
        self._answers = Answers(library.connection)
        self._bound = bound
        self._wants_all = wants_all
        self._compiler = Compiler()
        self._schema = self._compiler.compiled(bound.digest, bound.document)

    def judge(self, chosen: Chosen, seat: Seat) -> Verdicts:
        """Return what these exchanges come to; `seat` has the one it is at."""
        findings, kept = Findings(), []
        for row in self._answers.of(chosen):
            seat.value = row.seq
            why = _unfit(row)
            if why:
                findings.skip(why)
                continue
            try:
                judgements = self._judged(row)
            except DAMAGE:
                findings.skip("damaged")
                continue
            if judgements is None:
                findings.valid(row.verdict)
            elif not judgements:
                findings.skip("nothing_to_judge")
            else:
                findings.add(row.id, row.verdict, judgements)
                if self._wants_all:
                    kept.append((row.seq, judgements))
        return Verdicts(findings, kept)

    def _judged(self, row: Answered) -> tuple[Judgement, ...] | None:
        """Return the judgements of an exchange; None where all there is is valid."""
        body = self._answers.body(row)
        quick = self._quickly(row, body)
        if quick is not None:
            slot, faults = quick
            if not faults and not self._wants_all:
                return None
            return (self._judgement(slot, faults),)
        answer = reread.spelled(row, self._answers.headers(row), body)
        if answer is None:
            return ()
        question = Question(
            endpoint=row.endpoint,
            request=b"",
            answer=answer,
            complete=row.state == "complete",
            status=row.status,
            bound=(self._bound,),
            kept=row.kept_size == row.answer_size,
        )
        return judge(question, self._compiler)

    def _quickly(
        self, row: Answered, body: bytes
    ) -> tuple[str, tuple[Fault, ...]] | None:
        """Return slot and faults of a plain answer; None where it is not so plain.

        The long way makes an object of the whole answer and takes 30 µs more.
        """
        if row.endpoint != "chat" or row.state != "complete" or body[:1] != b"{":
            return None
        try:
            (choice,) = _decode(body).choices
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        found = _plain_slot(choice, self._bound.tool)
        if found is None:
            return None
        slot, text, read = found
        try:
            return slot, self._schema.faults(read(text))
        except (strict.NotJson, strict.Unsound, strict.TooLarge, RecursionError):
            return None

    def _judgement(self, slot: str, faults: tuple[Fault, ...]) -> Judgement:
        return Judgement(
            slot=slot,
            schema=self._bound.ref,
            digest=self._bound.digest,
            why=self._bound.why,
            verdict="invalid" if faults else "valid",
            faults=faults,
        )


def _unfit(row: Answered) -> str:
    """Return why an exchange is not judged, "" where it is."""
    if row.state == "open":
        return "open"
    if not 200 <= row.status < 400:
        return "status"
    if not row.content_kept or row.answer is None:
        return "content_not_kept"
    return ""


def _plain_slot(
    choice: _Choice, tool: str
) -> tuple[str, str, Callable[[str], Json]] | None:
    """Return slot, text and reader where an answer has one part to judge."""
    message = choice.message
    if choice.finish_reason in CUT_SHORT or message.refusal or message.function_call:
        return None
    text, calls = message.content, message.tool_calls
    if calls:
        function = calls[0].function
        if (
            len(calls) > 1
            or function is None
            or text
            or tool not in {"", function.name}
        ):
            return None
        slot, text, read = _ARGUMENTS, function.arguments, extract.arguments
    else:
        slot, read = _CONTENT, extract.content
    if tool and not calls:
        return None
    if not text or len(text) > MOST_QUICK_CHARACTERS or text.isspace():
        return None
    return slot, text, read
