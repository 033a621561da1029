r"""Says what patterns take to compile, without compiling them.

Measured 2026-11-21: time and memory grow with the parts of a pattern as its counts
repeat them, `\p{L}` is made of hundreds, and rewriting escapes like `\w` for the
library's engine takes the square of their number.
"""

import re

_PARTS = re.compile(
    r"(?P<count>\{(\d+)(?:(,)(\d*))?\})"
    r"|(?P<letters>\\[pP](?:\{[^}]{0,64}\})?)"
    r"|(?P<escape>\\[dDwWsS])"
    r"|\[(?:\\.|[^\]\\])*+\]?|\((?:\?[:!=])?"
    r"|(?P<end>\))"
    r"|\\.|(?P<many>\.)|.",
    re.DOTALL,
)
_COSTS_US = {"letters": 220.0, "escape": 5.0, "many": 5.0}
_LETTERS = re.compile(r"\\[pP]")
_ESCAPE = re.compile(r"\\[dDwWsS]")
_ESCAPES_US = 0.4
_COUNT_DIGITS = 6


def compiling_us(pattern: str) -> float:
    r"""Return about how long a pattern takes to compile.

    >>> compiling_us(r"(\w{1,9}){1,9}")
    405.4
    """
    sums, last = [0.0], 0.0
    for part in _PARTS.finditer(pattern):
        if part[0].startswith("("):
            sums.append(0.0)
            continue
        if part["count"]:
            copies = _copies(part)
            sums[-1] += last * (copies - 1)
            last *= copies
            continue
        last = sums.pop() if part["end"] and len(sums) > 1 else _cost(part)
        sums[-1] += last
    return sum(sums) + _ESCAPES_US * len(_ESCAPE.findall(pattern)) ** 2


def _cost(part: re.Match[str]) -> float:
    """Return what a part takes once: a class of characters is as large as its own."""
    text = part[0]
    if text.startswith("["):
        letters = len(_LETTERS.findall(text)) * _COSTS_US["letters"]
        return letters + len(text) / 4 + _COSTS_US["many"] * text.startswith("[^")
    return _COSTS_US.get(part.lastgroup or "", 1.0)


def _copies(count: re.Match[str]) -> int:
    """Return how many copies a count makes at most."""
    least, more, most = count[2], count[3], count[4]
    digits = most or least
    copies = int(digits) if len(digits) <= _COUNT_DIGITS else 10**_COUNT_DIGITS
    return max(copies + bool(more and not most), 1)
