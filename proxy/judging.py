"""Has a sealed answer judged, and says what follows from its verdict.

After the last chunk was relayed and before the commit, so that no token waits for it
and the verdict is in the transaction of its exchange.
"""

import asyncio

import msgspec

from proxy.answer import assemble
from proxy.decode import decode
from proxy.errors import MismatchError
from proxy.repair import asking_again, summed
from proxy.schemas.applying import Judging, may_hold
from proxy.schemas.judge import Judge, Question, summary
from proxy.seal import is_short, received
from proxy.stitch.tools import RENAMED
from proxy.stitch.values import write_json
from proxy.tape import Tape
from storage.records import Exchange, HeaderPairs, Json, Judgement, Usage

NOTHING_READ: dict[str, dict[str, Json]] = {
    "chat": {"choices": [{"message": {"content": None}}]},
    "completions": {"choices": [{"text": ""}]},
    "responses": {"output": []},
}
"""What stands for an answer in which there is nothing to read."""

UNDECODED = ("undecoded=", "decode_error", "bomb")
"""How the flags of an answer begin that we, unlike its client, perhaps cannot read."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange with its verdict, and what follows from it.

    Shapes: `told` are headers for the client, `verdict` is one that only an answer has
    whose verdict it is; `refusal` is what the client gets in the place of the answer;
    `again` is the body that asks again, and then the client gets neither.
    """

    exchange: Exchange
    told: HeaderPairs = ()
    verdict: HeaderPairs = ()
    refusal: MismatchError | None = None
    again: bytes | None = None


async def judged(
    tape: Tape,
    exchange: Exchange,
    judging: Judging,
    *,
    judge: Judge,
    goes_on: bool,
    stays: bool,
) -> Outcome:
    """Judge an exchange by what its plan says.

    Shapes: `goes_on` says whether the answer waits still, and somebody for it; `stays`
    whether that somebody would wait for another.
    """
    asked = attempts(tape, judging, exchange.usage)
    answer = await _answer(tape, exchange, judging)
    if answer is None:
        return Outcome(exchange=exchange, told=asked)
    ended = exchange.state == "complete"
    judgements = await judge.ask(
        Question(
            endpoint=tape.endpoint,
            request=await _request(tape),
            answer=answer,
            complete=ended,
            status=exchange.status,
            bound=judging.bound,
            kept=tape.whole,
            named=RENAMED not in exchange.flags,
            project=tape.project,
        )
    )
    again = refusal = None
    refused = judging.refused(judgements) if goes_on and ended else ()
    if refused:
        refusal = _mismatch(refused)  # also where nothing is asked after all
        if stays and judging.mends(refused, tape.attempt.number):
            again = asking_again(tape.endpoint, tape.request, answer, refused)
    exchange = _with(exchange, _followed(judgements, refused), tape.key)
    return Outcome(
        exchange=exchange,
        told=asked,
        verdict=_verdict(exchange),
        refusal=refusal,
        again=again,
    )


async def _answer(
    tape: Tape, exchange: Exchange, judging: Judging
) -> dict[str, Json] | None:
    """Return the assembled answer, where there can be anything to judge in it."""
    if not 200 <= exchange.status < 400:
        return None
    if is_short(tape):
        return _read(tape, exchange, judging)
    return await asyncio.to_thread(_read, tape, exchange, judging)


def _read(tape: Tape, exchange: Exchange, judging: Judging) -> dict[str, Json] | None:
    coded = tape.header(b"content-encoding")
    if not coded and not may_hold(judging, b"".join(tape.chunks)):
        return None
    whole = received(tape, ended_clean=exchange.state == "complete")
    answer = assemble(tape.endpoint, whole)
    if _says_something(tape, answer):
        return answer
    if not tape.whole or _ends_empty(exchange, judging):
        return NOTHING_READ.get(tape.endpoint)  # nothing there, or nothing at hand
    return answer


def _says_something(tape: Tape, answer: dict[str, Json] | None) -> bool:
    """Return whether an answer has any part that could be judged."""
    if answer is None or tape.endpoint == "responses":
        return answer is not None
    choices = answer.get("choices")
    return isinstance(choices, list) and any(isinstance(it, dict) for it in choices)


def _ends_empty(exchange: Exchange, judging: Judging) -> bool:
    """Return whether JSON was due, and none came though all of it could be read."""
    undecoded = any(flag.startswith(UNDECODED) for flag in exchange.flags)
    ended = exchange.state == "complete" and exchange.status < 300
    return ended and not undecoded and not judging.calls_only


async def _request(tape: Tape) -> bytes:
    for name, coding in tape.request_headers:
        if name == b"content-encoding":
            coded = coding.strip().lower()
            return (await asyncio.to_thread(decode, tape.request, coded)).data
    return tape.request


def _with(
    exchange: Exchange, judgements: tuple[Judgement, ...], key: bytes | None
) -> Exchange:
    """Return an exchange with its verdict; what quotes it only where that is kept."""
    if not exchange.content_kept:
        judgements = tuple(_bare(judgement, key) for judgement in judgements)
    schema, verdict, error_path = summary(judgements)
    return msgspec.structs.replace(
        exchange,
        judgements=judgements,
        schema=schema,
        verdict=verdict,
        error_path=error_path,
    )


def _followed(
    judgements: tuple[Judgement, ...], refused: tuple[Judgement, ...]
) -> tuple[Judgement, ...]:
    """Return judgements that tell for which of them the client gets no answer.

    That another was asked for is noted with that one: until then it may not be.
    """
    return tuple(
        msgspec.structs.replace(one, followed="enforced") if one in refused else one
        for one in judgements
    )


def _bare(judgement: Judgement, key: bytes | None) -> Judgement:
    holds_key = key is not None and key in judgement.schema.encode()
    return msgspec.structs.replace(
        judgement, faults=(), schema="" if holds_key else judgement.schema
    )


def _verdict(exchange: Exchange) -> HeaderPairs:
    if exchange.verdict is None:
        return ()
    return ((b"x-spiritsafe-verdict", exchange.verdict.encode()),)


def attempts(tape: Tape, judging: Judging, usage: Usage) -> HeaderPairs:
    """Return how often was asked, and what that cost in all, under `repair`."""
    if "repair" not in judging.policies:
        return ()
    told = msgspec.structs.asdict(summed(tape.attempt.usage, usage))
    known = {name: count for name, count in told.items() if count is not None}
    asked = (b"x-spiritsafe-attempts", b"%d" % tape.attempt.number)
    return (asked, (b"x-spiritsafe-usage", write_json(known))) if known else (asked,)


def _mismatch(refused: tuple[Judgement, ...]) -> MismatchError:
    """Return the error that a client gets in the place of an invalid answer."""
    faults = [
        {"slot": one.slot, "schema": one.schema, **msgspec.structs.asdict(fault)}
        for one in refused
        for fault in one.faults
    ]
    return MismatchError(
        f"The answer is not what the schema '{refused[0].schema}' describes; "
        "error.faults tells where.",
        faults,
    )
