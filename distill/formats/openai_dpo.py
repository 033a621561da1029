"""OpenAI's preference lines: a wrong answer, and the one that came of asking again.

A line is made of the exchange that ended a chain of attempts with a valid answer. Its
prompt is that of the first attempt, so no talk of errors is learnt; the answer to
reject is the first one too. One schema has to tell them apart, as last judged. Attempts
between the two make no line, and neither do exchanges of several choices: a re-ask
takes up one, and a verdict is of them all. Several calls of tools stay together.
Source: wire.md 6.3, 7.4 and Appendix D.
"""

from collections.abc import Iterator

import msgspec

from distill.errors import Reason, Unfit
from distill.formats.openai_chat import choices_of, line, prompt_of
from distill.pairs import Json, Pair


def examples(pair: Pair) -> Iterator[Json | Reason]:
    """Yield the one line of an exchange that set another one right, or why none."""
    try:
        yield _line(pair)
    except Unfit as unfit:
        yield unfit.reason


def _line(pair: Pair) -> Json:
    if pair.first is None:
        raise Unfit("no_reask")
    if pair.verdict != "valid":
        raise Unfit("not_valid")
    rejected, chosen = choices_of(pair.first), choices_of(pair)
    plain = msgspec.structs.replace(pair.first, wrong=frozenset)
    prompt = prompt_of(plain)  # nothing of a prompt is learnt here
    if len(rejected) > 1 or len(chosen) > 1:
        raise Unfit("several_choices")
    if pair.first.verdict != "invalid" or not _set_right(pair.first, pair):
        raise Unfit("not_set_right")
    preferred, other = (line(prompt, choices[0]) for choices in (chosen, rejected))
    *asked, answer = preferred.pop("messages")
    if any(isinstance(message.content, list) for message in prompt.messages):
        asked = [_text_only(message) for message in asked]
    return {
        "input": {"messages": asked, **preferred},
        "preferred_output": [answer],
        "non_preferred_output": other["messages"][-1:],
    }


def _set_right(first: Pair, last: Pair) -> bool:
    """Return whether one schema finds the first answer wrong, and the last one right.

    What was judged again since then counts as it is now.
    """
    return any(
        verdict == "valid" and first.verdicts.get(told) == "invalid"
        for told, verdict in last.verdicts.items()
    )


def _text_only(message: Json) -> Json:
    """Return a message that has no image. Raises: `Unfit`."""
    parts = message.get("content")
    if isinstance(parts, list) and any(part["type"] != "text" for part in parts):
        raise Unfit("unsupported_content")
    return message
