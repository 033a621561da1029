r"""Reads the filter language: a text to a tree, or what is wrong with it and where.

    model:gpt-4o* status>=400 tag.task:triage (timeout or "slow down") not is:stream

Terms side by side all have to match. What names no field is searched in prompts and
answers. `"` quotes, `\` takes the next character as it is, `*` stands for any text at
any place of a field's value and at the end of a word.
"""

import re
import time
import unicodedata
from collections.abc import Iterable

from storage.errors import BadQuery
from storage.queries.fields import TAG
from storage.queries.meaning import Comparison, Value
from storage.queries.tree import Both, Either, Except, Node, Operator, Words

MAX_CHARACTERS = 4096
MAX_TERMS = 64
MAX_DEPTH = 32
_OPERATORS: dict[str, Operator] = {
    "=": "=",
    "!=": "=",
    ">": ">",
    ">=": ">=",
    "<": "<",
    "<=": "<=",
}

_BLANKS = re.compile(r"\s*")
_KEYWORD = re.compile(r'(and|or|not)(?=[\s()"]|$)', re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAG_KEY = re.compile(r'[^\s()"\\<>=!:]+')
_OPERATOR = re.compile(r":(>=|<=|>|<)?|\s*(>=|<=|!=|=|>|<)\s*")
_BARE = re.compile(r'[^\s()"\\*]+')


def parse(text: str, *, now_at: int | None = None) -> Node | None:
    """Return what a filter says; None where it says nothing.

    Units: `now_at` is what times such as `7d` count back from, in microseconds.
    Raises: `BadQuery`.

    >>> parse("status>=400")
    Term(field='status', operator='>=', value=400, column=1)
    """
    _refuse_odd(text)
    if not text.strip():
        return None
    return _Reader(text, time.time_ns() // 1000 if now_at is None else now_at).read()


def all_of(nodes: Iterable[Node | None]) -> Node | None:
    """Return what matches where all of these do; None asks nothing."""
    return _joined(Both, [node for node in nodes if node is not None])


def _refuse_odd(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise BadQuery(
            f"a filter has {MAX_CHARACTERS} characters at most, not {len(text)}",
            MAX_CHARACTERS + 1,
        )
    for at, character in enumerate(text):
        odd = unicodedata.category(character) in {"Cc", "Cs"}
        if odd and character not in "\t\r\n":
            raise BadQuery(f"U+{ord(character):04X} is no text", at + 1)


def _joined(kind: type[Both] | type[Either], nodes: list[Node]) -> Node | None:
    flat: list[Node] = []
    for node in nodes:
        flat += node.nodes if isinstance(node, kind) else [node]
    if len(flat) < 2:
        return flat[0] if flat else None
    return kind(tuple(flat))


class _Reader:
    """Reads one text from left to right; `at` is where it stands."""

    def __init__(self, text: str, now_at: int) -> None:
        self._text = text
        self._now_at = now_at
        self._at = 0
        self._terms = 0

    def read(self) -> Node:
        node = self._either(0)
        if self._at < len(self._text):  # only that ends an expression early
            raise self._wrong("')' closes nothing")
        return node

    def _either(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._wrong(f"parentheses and 'not' nest {MAX_DEPTH} deep at most")
        nodes = [self._both(depth)]
        while self._keyword() == "or":
            self._at += len("or")
            nodes.append(self._both(depth))
        return _joined(Either, nodes) or nodes[0]

    def _both(self, depth: int) -> Node:
        nodes = [self._one(depth)]
        while not self._ended() and self._text[self._at] != ")":
            keyword = self._keyword()
            if keyword == "or":
                break
            if keyword == "and":
                self._at += len("and")
            nodes.append(self._one(depth))
        return _joined(Both, nodes) or nodes[0]

    def _one(self, depth: int) -> Node:
        if self._ended():
            raise self._wrong("a term is missing at the end")
        if depth > MAX_DEPTH:
            raise self._wrong(f"parentheses and 'not' nest {MAX_DEPTH} deep at most")
        keyword = self._keyword()
        if keyword == "not":
            self._at += len("not")
            return Except(self._one(depth + 1))
        if keyword:
            raise self._wrong(
                f"a term is missing before '{keyword}', or write \"{keyword}\""
            )
        if self._text[self._at] == "(":
            return self._group(depth)
        if self._text[self._at] == ")":
            raise self._wrong("a term is missing before ')'")
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self._wrong(f"a filter has {MAX_TERMS} terms at most")
        return self._comparison() or self._words()

    def _group(self, depth: int) -> Node:
        opened = self._at
        self._at += 1
        node = self._either(depth + 1)
        if self._ended():
            raise BadQuery("'(' is never closed", opened + 1)
        self._at += 1
        return node

    def _comparison(self) -> Node | None:
        """Read a comparison; None, and nothing read, where there is none."""
        start = self._at
        name = self._name()
        found = _OPERATOR.match(self._text, self._at)
        if not name or found is None:
            self._at = start
            return None
        operator = found[1] or found[2] or "="
        self._at = found.end()
        value = self._value()
        if not value.pieces:
            written = self._text[start : found.end()].strip()
            raise self._wrong(f"a value is missing behind '{written}'")
        node = Comparison(
            name, _OPERATORS[operator], value, start + 1, self._now_at
        ).node()
        return Except(node) if operator == "!=" else node

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        name = found[0].lower()
        if name != "tag" or not self._text.startswith(".", self._at):
            return name
        self._at += 1
        if self._text.startswith('"', self._at):
            return TAG + self._quoted()
        key = _TAG_KEY.match(self._text, self._at)
        if key is None:
            return TAG  # which is no field
        self._at = key.end()
        return TAG + key[0]

    def _words(self) -> Words:
        value = self._value()
        if None in value.pieces[:-1]:
            raise BadQuery("'*' can only end a word", value.column)
        said = "".join(piece or "" for piece in value.pieces)
        if not any(map(str.isalnum, said)):
            raise BadQuery(
                f"'{value.text}' has no letter or digit to search for", value.column
            )
        return Words(said, prefix=value.has_star, column=value.column)

    def _value(self) -> Value:
        start, pieces = self._at, list[str | None]()
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                pieces.append(self._quoted())
            elif character == "\\":
                pieces.append(self._escaped())
            elif character == "*":
                self._at += 1
                pieces.append(None)
            elif found := _BARE.match(self._text, self._at):
                self._at = found.end()
                pieces.append(found[0])
            else:
                break
        return Value(tuple(pieces), start + 1)

    def _quoted(self) -> str:
        opened = self._at
        self._at += 1
        said = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "\\":
                said.append(self._escaped())
                continue
            self._at += 1
            if character == '"':
                return "".join(said)
            said.append(character)
        raise BadQuery("the quote is never closed", opened + 1)

    def _escaped(self) -> str:
        if self._at + 1 == len(self._text):
            raise self._wrong("'\\' stands before nothing")
        self._at += 2
        return self._text[self._at - 1]

    def _keyword(self) -> str:
        self._ended()
        found = _KEYWORD.match(self._text, self._at)
        return found[1].lower() if found else ""

    def _ended(self) -> bool:
        blanks = _BLANKS.match(self._text, self._at)
        self._at = blanks.end() if blanks else self._at
        return self._at == len(self._text)

    def _wrong(self, message: str) -> BadQuery:
        return BadQuery(message, self._at + 1)
