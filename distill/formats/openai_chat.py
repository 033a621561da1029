"""OpenAI's supervised fine-tuning lines: which exchanges become one, and how it reads.

An answer that came of asking again gets the prompt of the first attempt, without the
talk of errors; a wrong answer that a conversation went on from has weight 0, so it is
context and not learnt. Source: wire.md 6.3 and 6.4, Appendix D. Not here, since they
need more than one exchange: duplicates, and a parent named by `previous_response_id`.
"""

import json
from collections.abc import Iterator
from typing import Final

import msgspec

from distill import chat, items
from distill.errors import Reason, Unfit
from distill.pairs import Json, Pair

PROMPTS: Final = {"chat": chat.prompt, "responses": items.prompt}
CHOICES: Final = {"chat": chat.choices, "responses": items.choices}
GOOD_ENDS: Final = {"stop", "tool_calls", "function_call"}
BAD_ENDS: Final[dict[str, Reason]] = {
    "length": "length",
    "content_filter": "content_filter",
}

# https://platform.openai.com/docs/guides/fine-tuning: longer examples lose their end,
# which is the answer.
MAX_EXAMPLE_TOKENS: Final = 65_536


def examples(pair: Pair) -> Iterator[Json | Reason]:
    """Yield one line per good choice, and the reason for each that is left out."""
    if pair.verdict == "invalid":
        yield "invalid"
        return
    try:
        choices, prompt = choices_of(pair), prompt_of(pair.first or pair)
    except Unfit as unfit:
        yield unfit.reason
        return
    for choice in choices:
        try:
            yield line(prompt, choice)
        except Unfit as unfit:
            yield unfit.reason


def prompt_of(pair: Pair) -> chat.Prompt:
    """Return what a pair asks. Raises: `Unfit`."""
    _refuse_unkept(pair)
    return PROMPTS[pair.endpoint](_object(pair.request), pair.wrong())


def choices_of(pair: Pair) -> list[chat.Choice]:
    """Return the answers of a pair that is whole and went well.

    Raises: `Unfit` for any other.
    """
    if pair.state != "complete":
        raise Unfit("incomplete")
    if pair.status != 200:
        raise Unfit("status")
    _refuse_unkept(pair)
    choices = CHOICES[pair.endpoint](pair.answer or {})
    if not choices:
        raise Unfit("empty_message")
    usage = (pair.answer or {}).get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    if isinstance(tokens, int) and tokens > MAX_EXAMPLE_TOKENS:
        raise Unfit("too_long")
    return choices


def _refuse_unkept(pair: Pair) -> None:
    if not pair.content_kept:
        raise Unfit("content_not_kept")
    if pair.endpoint not in PROMPTS:
        raise Unfit("endpoint")


def _object(body: bytes) -> Json:
    """Return a request read by the standard library, which keeps lone surrogates."""
    try:
        value: Json = json.loads(body)  # its shape is checked where it is read
    except (ValueError, RecursionError) as error:
        raise Unfit("unreadable") from error
    return value


def line(prompt: chat.Prompt, choice: chat.Choice) -> Json:
    """Return one good answer to a prompt as a training line. Raises: `Unfit`."""
    finish = choice.finish_reason
    if finish not in GOOD_ENDS:
        raise Unfit(BAD_ENDS.get(finish or "", "finish_reason"))
    if choice.message.refusal:
        raise Unfit("refusal")
    messages = chat.tidy([*prompt.messages, choice.message])
    whole = msgspec.structs.replace(prompt, messages=messages)
    if not whole.tools:
        whole = msgspec.structs.replace(whole, parallel_tool_calls=None)
    told: Json = msgspec.to_builtins(whole)
    return told
