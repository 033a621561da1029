"""Makes recorded text safe for a terminal: what steers one is shown, not obeyed."""

import json
import re

from rich.cells import cell_len, set_cell_size

# Controls of C0 and C1, line and paragraph separators, what turns the direction of
# text, and surrogates, which no stream encodes (S-41). Line feeds and tabs apart.
_STEERING = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\ud800-\udfff"
# What takes no room and so can hide text or a difference: formats, fillers, tags.
_HIDING = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff0-\ufffb\U00013430-\U0001345f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Joiners spell Persian and emoji; elsewhere than between two such signs they hide.
_JOINER, _SIGN = "[\u200c\u200d]", "[^\\x00-\\x7f\u200b-\u200f]"
_UNSAFE = re.compile(
    f"[{_STEERING}{_HIDING}]|(?<!{_SIGN}){_JOINER}|{_JOINER}(?!{_SIGN})"
)
_ANY_SPACE = re.compile(r"[ \t\n\r\f\v\u0085\u2028\u2029]+")


def block(text: str) -> str:
    r"""Return text whose only controls are line feeds and tabs.

    >>> block("red\x1b[31m\r\nnext")
    'red\\x1b[31m\nnext'
    """
    return _UNSAFE.sub(_spell, text.replace("\r\n", "\n"))


def line(text: str) -> str:
    r"""Return text on one line, each run of white space as one blank.

    >>> line("one\n  two\x9b3m")
    'one two\\x9b3m'
    """
    return _UNSAFE.sub(_spell, _ANY_SPACE.sub(" ", text)).strip()


def fitted(text: str, width: int) -> str:
    """Return a line cut to the cells of a terminal, with a mark where it is cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…" * bool(width)


def escaped_json(text: str) -> str:
    r"""Return a JSON text that says the same without a character that steers.

    >>> escaped_json('"\x9b"')
    '"\\u009b"'
    """
    return _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _spell(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
