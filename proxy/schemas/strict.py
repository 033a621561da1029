r"""Reads JSON of which every reader understands the same, and says what is not so.

What `json.loads` lets pass is found here: a member that occurs twice (of which readers
take the first, the last or none), NaN and Infinity and what is read as that, halves of
surrogate pairs.
"""

import json
from collections.abc import Iterator
from math import isinf

from storage.records import Fault, Json

MAX_FAULTS = 20
"""Of one answer; the first ones tell what is wrong, more would be a second answer."""

MESSAGE_CHARACTERS = 300

POINTER_CHARACTERS = 1000
"""Of a place that is told; a longer one is told as one that it is in."""

_SURROGATE_ESCAPES = ("\\ud", "\\uD")


class NotJson(ValueError):
    """The text is no JSON.

    Units: `at` is the character where reading ended; `behind` says that a whole value
    stands before it.
    """

    def __init__(self, message: str, at: int, *, behind: bool = False) -> None:
        super().__init__(message)
        self.at = at
        self.behind = behind


class Unsound(ValueError):
    """The text is JSON that readers understand differently."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(faults[0].message)
        self.faults = faults


class TooLarge(ValueError):
    """A number has more digits than are read."""


class _Doubt(Exception):
    """Something was found that has to be looked at once more."""


class _Twice(dict[str, Json]):
    """An object in which some names occur more than once."""

    names: tuple[str, ...] = ()


class _Constant:
    """NaN, one of the infinities, or a number that reads as one of them."""

    def __init__(self, name: str) -> None:
        self.fault = f"{name} is no number of JSON."
        if name[-1].isdigit():
            self.fault = f"{name[:20]} is larger than any number that readers know."


def read(text: str) -> Json:
    """Return the value of a text that is one JSON value and nothing else.

    Raises: `NotJson`, `Unsound`, `TooLarge`; `RecursionError` if it nests too deep.

    >>> read('{"a": [1, 2]}')
    {'a': [1, 2]}
    """
    value, end = read_at(text, _skip(text, 0))
    behind = _skip(text, end)
    if behind != len(text):
        raise NotJson("There is text behind the JSON value.", behind, behind=True)
    return value


def read_at(text: str, start: int) -> tuple[Json, int]:
    """Return the value that starts here, and the character behind it.

    Raises: as `read`.
    """
    try:
        value, end = _raw(_STRICT, text, start)
    except _Doubt:
        value, end = _raw(_MARKING, text, start)
        _sound(value)
    else:
        if _has_surrogates(text[start:end]):
            _sound(value)
    return value, end


def pointer(path: list[str | int]) -> str:
    """Return the JSON pointer of a path (RFC 6901); of a long one, as far as it fits.

    >>> pointer(["a/b", 0, "c~"])
    '/a~1b/0/c~0'
    """
    whole = ""
    for step in path:
        longer = f"{whole}/{str(step).replace('~', '~0').replace('/', '~1')}"
        if len(longer) > POINTER_CHARACTERS:
            break
        whole = longer
    return whole


def _raw(decoder: json.JSONDecoder, text: str, start: int) -> tuple[Json, int]:
    try:
        return decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        message = f"This is not JSON: {error.msg} at {where}."
        raise NotJson(message, error.pos) from None
    except ValueError as error:
        raise TooLarge(str(error)) from None


def _skip(text: str, start: int) -> int:
    """Return where the white space of JSON ends."""
    while start < len(text) and text[start] in " \t\n\r":
        start += 1
    return start


def _has_surrogates(text: str) -> bool:
    """Return whether there may be halves of pairs, escaped or not."""
    if any(escape in text for escape in _SURROGATE_ESCAPES):
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _sound(value: Json) -> None:
    """Raise `Unsound` for what is not sound in a value."""
    faults = []
    for fault in _faults(value, []):
        faults.append(fault)
        if len(faults) == MAX_FAULTS:
            break
    if faults:
        raise Unsound(tuple(faults))


def _faults(value: Json, path: list[str | int]) -> Iterator[Fault]:
    if isinstance(value, str):
        if not _encodes(value):
            yield Fault(pointer(path), "", "Half of a surrogate pair stands alone.")
    elif isinstance(value, _Constant):
        yield Fault(pointer(path), "", value.fault)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, [*path, index])
    elif isinstance(value, dict):
        if isinstance(value, _Twice):
            named = ", ".join(json.dumps(name) for name in value.names)
            message = f"Members occur more than once: {named}."
            yield Fault(pointer(path), "", message[:MESSAGE_CHARACTERS])
        for name, item in value.items():
            if not _encodes(name):
                message = "Half of a surrogate pair stands alone in a name."
                yield Fault(pointer(path), "", message)
            else:
                yield from _faults(item, [*path, name])


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Doubt
    return members


def _marked(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name, _ in pairs:
        if name in seen:
            twice[name] = None
        seen.add(name)
    marked = _Twice(members)
    marked.names = tuple(twice)
    return marked


def _no_constant(_: str) -> Json:
    raise _Doubt


def _finite(digits: str) -> Json:
    number = float(digits)
    if isinf(number):
        raise _Doubt
    return number


def _marked_number(digits: str) -> Json:
    number = float(digits)
    return _Constant(digits) if isinf(number) else number


_STRICT = json.JSONDecoder(
    object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite
)
_MARKING = json.JSONDecoder(
    object_pairs_hook=_marked, parse_constant=_Constant, parse_float=_marked_number
)
