"""Finds the JSON in what a model wrote, as the libraries that ask for it do.

Source: wire 7.3. The order is the whole text, the last fenced block that is JSON, the
last complete object or array; arguments are the whole text, always.
"""

import re
from collections.abc import Iterator

from proxy.schemas import strict
from storage.records import Json

FENCE = "```"
MAX_FAILURES = 1000
"""Brackets in a text that begin no value; beyond, it is no text with JSON in it."""

_OPENING = re.compile(r"[{\[]")
_LANGUAGE = re.compile(r"[ \t]*[\w+.-]*[ \t]*\r?\n")


def arguments(text: str, *, ended: bool = True) -> Json:
    """Return the value of a call's arguments; none at all are an empty object.

    Servers send "" for a call of a function without parameters; where some are
    required, the schema says so. In a call that has not `ended` they are missing.
    Raises: as `strict.read`.
    """
    return strict.read(text) if text.strip() or not ended else {}


def content(text: str, *, ended: bool = True) -> Json:
    r"""Return the JSON value in an answer's text.

    Shapes: in a text that has not `ended` only the whole or a fenced block counts,
    for its last complete value may be a part of the one that is missing.
    Raises: as `strict.read`.

    >>> content('Two of them: {"n": 1} and ```json\n{"n": 2}\n``` as asked.')
    {'n': 2}
    """
    try:
        return strict.read(text)
    except strict.NotJson as error:
        for block in _fenced(text):
            try:
                return strict.read(block)
            except strict.NotJson:
                continue
        found = _last(text) if ended else None
        if found is None:
            raise error from None
        value, _ = strict.read_at(text, found)
        return value


def _fenced(text: str) -> Iterator[str]:
    """Yield the insides of the fenced blocks, from the last to the first."""
    parts = text.split(FENCE)
    for index in reversed(range(1, len(parts) - 1, 2)):
        inside = parts[index]
        language = _LANGUAGE.match(inside)
        yield inside[language.end() :] if language else inside


def _last(text: str) -> int | None:
    """Return where the last complete object or array begins.

    Reading goes on where it failed, not behind the bracket: so it is linear, and a
    part of a broken value is not taken for an answer.
    """
    found = None
    failures = 0
    opening = _OPENING.search(text)
    while opening is not None and failures < MAX_FAILURES:
        begin = opening.start()
        try:
            _, end = strict.read_at(text, begin)
            found = begin
        except strict.Unsound:
            return begin
        except strict.NotJson as error:
            end = max(error.at, begin + 1)
            failures += 1
        opening = _OPENING.search(text, end)
    return found
