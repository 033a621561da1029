"""Words the request that asks again for an answer that its schema does not describe.

The conversation, the wrong answer and what is wrong with it, in the shape in which
Instructor asks again, so that models know it. All other members stay as they are.

Source: wire 7.4.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from proxy import splice
from proxy.stitch.values import write_json
from storage.records import Endpoint, Json, Judgement, Usage

MOST_QUOTED_BYTES = 256 * 1024
"""A longer answer is not sent back: it would cost more than it can mend."""

MOST_CHARACTERS = 4000
"""Of what is said of one part of an answer."""

_CHOICE = re.compile(r"/choices/(\d+)/message/")
_CALL = (
    "Validation Error found:\n{errors}\nRecall the function correctly, fix the errors"
)
_CONTENT = "Correct your JSON ONLY RESPONSE, based on the following errors:\n{errors}"
_FUNCTION = "Recall the function correctly, fix the errors, exceptions found\n{errors}"
_SOUND = "No errors found. Recall the function with the same arguments"

_STATE = "conversation"
_MEMBER: dict[str, str] = {"chat": "messages", "responses": "input"}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One of several exchanges that answer one request.

    Shapes: `number` counts from 1; `asks_again` is the id of the one before; `usage`
    sums those before.
    """

    number: int = 1
    asks_again: str = ""
    usage: Usage = Usage()

    def next(self, name: str, usage: Usage) -> "Attempt":
        """Return the attempt after this one, whose exchange and usage these are."""
        return Attempt(
            number=self.number + 1, asks_again=name, usage=summed(self.usage, usage)
        )


FIRST = Attempt()


def summed(one: Usage, other: Usage) -> Usage:
    """Return the tokens of both; None where neither says anything."""
    told = (msgspec.structs.astuple(one), msgspec.structs.astuple(other))
    pairs = zip(*told, strict=True)
    return Usage(
        *(None if a is None and b is None else (a or 0) + (b or 0) for a, b in pairs)
    )


def asking_again(
    endpoint: Endpoint,
    body: bytes,
    answer: Mapping[str, Json],
    judgements: Sequence[Judgement],
) -> bytes | None:
    """Return the body that asks again, or None where that cannot be worded.

    Shapes: `body` is the client's, or the attempt's before; `answer` the assembled
    object; at least one of `judgements` is `invalid`. There is no such body for legacy
    completions, nor where the client's has no list of messages to go on from, nor for a
    `conversation`, in which the upstream keeps question and wrong answer already.
    """
    member = _MEMBER.get(endpoint)
    read = splice.read(body)
    asked = None if member is None else read.values.get(member)
    if member is None or asked is None or read.doubt or _STATE in read.values:
        return None
    wrong = [one for one in judgements if one.verdict == "invalid"]
    tell = _chat if endpoint == "chat" else _responses
    said = list(tell(answer, wrong))
    try:
        told = write_json(said)
    except RecursionError:  # arguments as an object, as some servers send them
        return None
    begun = _list(bytes(asked), endpoint)
    if not said or begun is None or len(told) > MOST_QUOTED_BYTES:
        return None
    comma = b"" if begun.rstrip().endswith(b"[") else b","
    return splice.edit(body, read, {member: begun + comma + told[1:]})


def _list(asked: bytes, endpoint: Endpoint) -> bytes | None:
    """Return the JSON text of what was asked as a list, without its closing bracket."""
    if asked[:1] == b"[":
        return asked[:-1]
    if asked[:1] == b'"' and endpoint == "responses":  # short for one user message
        return b'[{"role":"user","content":' + asked + b"}"
    return None


def _chat(answer: Mapping[str, Json], wrong: Sequence[Judgement]) -> list[Json]:
    """Return the wrong message, and what is wrong with it; of the first such choice."""
    place = next((found for one in wrong if (found := _CHOICE.match(one.slot))), None)
    message = None if place is None else _at(answer, place[0][:-1])
    if place is None or not isinstance(message, dict):
        return []
    of_it = [one for one in wrong if one.slot.startswith(place[0])]
    members = ("content", "tool_calls", "function_call")
    said = {name: message[name] for name in members if message.get(name)}
    told: list[Json] = [{"role": "assistant", "content": None, **said}] if said else []
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else ()):
        at = f"{place[0]}tool_calls/{number}/"
        errors = _errors(one for one in of_it if one.slot.startswith(at))
        content = _CALL.format(errors=errors) if errors else _SOUND
        name = call.get("id") if isinstance(call, dict) else None
        told.append({"role": "tool", "tool_call_id": name, "content": content})
    for start, words in (
        (f"{place[0]}content", _CONTENT),
        (f"{place[0]}function_call", _FUNCTION),
    ):
        errors = _errors(one for one in of_it if one.slot.startswith(start))
        if errors:
            told.append({"role": "user", "content": words.format(errors=errors)})
    return told


def _responses(
    answer: Mapping[str, Json], wrong: Sequence[Judgement]
) -> Iterator[Json]:
    """Yield messages alone: a call would have to be answered by its tool's output."""
    for one in wrong:
        value, errors = _at(answer, one.slot), _errors([one])
        text = value if isinstance(value, str) else ""
        if one.slot.endswith("/arguments"):
            words = f"{_CALL.format(errors=errors)} with {text}"
        else:
            if text:
                yield {"role": "assistant", "content": text}
            words = _CONTENT.format(errors=errors)
        yield {"role": "user", "content": words}


def _errors(judgements: Iterator[Judgement] | Sequence[Judgement]) -> str:
    lines = [
        f"{fault.at}: {fault.message}" if fault.at else fault.message
        for one in judgements
        for fault in one.faults
    ]
    return "\n".join(lines)[:MOST_CHARACTERS]


def _at(answer: Mapping[str, Json], pointer: str) -> Json:
    """Return what stands at a pointer of ours: names and places, nothing escaped."""
    value: Json = answer
    for step in pointer.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value
