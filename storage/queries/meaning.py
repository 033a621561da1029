"""What a comparison means: from a field's name and the value behind it to terms."""

import re
from typing import NamedTuple

from storage.errors import BadQuery
from storage.queries.fields import FIELDS, TAG, Field, field_of, nearest
from storage.queries.moments import Span, span
from storage.queries.tree import Both, Either, Node, Operator, Term
from storage.records import State

MAX_STARS = 8
"""Of one pattern: each may make matching longer by the length of the value."""

MAX_NUMBER = 2**63 - 1  # what a column holds

SUGAR = ("after", "before", "has", "is")

_NUMBER = re.compile(r"(\d{1,19})([kmg]?)", re.ASCII | re.IGNORECASE)
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_FLAGS = {"yes": 1, "true": 1, "1": 1, "no": 0, "false": 0, "0": 0}
_STATES: tuple[State, ...] = ("open", "complete", "incomplete")


class Value(NamedTuple):
    """What was written behind an operator, or as a word.

    Shapes: `pieces` are texts to be taken as they are, None for each star.
    """

    pieces: tuple[str | None, ...]
    column: int

    @property
    def text(self) -> str:
        """The value as written, without quotes."""
        return "".join("*" if piece is None else piece for piece in self.pieces)

    @property
    def has_star(self) -> bool:
        """Whether some of it stands for any text."""
        return None in self.pieces


def pattern(value: Value) -> str:
    """Return a value with stars as SQLite's GLOB and Python's `fnmatch` take it.

    >>> pattern(Value(("what?", None), 1))
    'what[?]*'
    """
    spelled = ""
    for piece in value.pieces:
        if piece is not None:
            spelled += "".join(f"[{c}]" if c in "*?[" else c for c in piece)
        elif not spelled.endswith("*"):
            spelled += "*"
    return spelled


class Comparison(NamedTuple):
    """One comparison as it was written.

    Units: `now_at` in microseconds since the epoch.
    """

    name: str
    operator: Operator
    value: Value
    column: int
    now_at: int

    def node(self) -> Node:
        """Return what it means.

        Raises: `BadQuery` where the field is none, or has no such value.
        """
        if self.name == "has":
            return self._has(self.value.text)
        if self.name == "is":
            return self._is(self.value.text.lower())
        if self.name in {"after", "before"}:
            self._equal_only()
            when = self._span()
            if self.name == "after":
                return self._term("created", ">=", when.start_at)
            return self._term("created", "<", when.start_at)
        text = self.value.text
        if self.name == "error" and (not text or text.startswith("/")):
            return self._replace(name="error_path").node()
        field = field_of(self.name)
        if field is None or self.name in {TAG, "tag"}:
            raise self._unknown()
        return self._compared(field)

    def _compared(self, field: Field) -> Node:
        if field.kind == "time":
            return self._time()
        if field.kind == "number":
            return self._term(self.name, self.operator, self._number())
        self._equal_only()
        if not self.value.text and not _may_be_empty(field):
            raise self._wrong(
                f"the value is empty: 'not has:{self.name}' finds what has none"
            )
        if field.kind == "flag":
            return self._term(self.name, "=", self._flag())
        if self.value.has_star and field.kind in {"id", "thread"}:
            raise self._wrong("no star: the start of an id will do, or a completion id")
        if self.value.has_star:
            return self._like()
        text = self.value.text
        if field.kind == "choice":
            text = text.lower()
            if text not in field.values:
                raise self._wrong(
                    f"'{self.value.text}' is no {self.name}: write "
                    f"{', '.join(field.values)}"
                )
        return self._term(self.name, "=", text)

    def _like(self) -> Node:
        spelled = pattern(self.value)
        if self.value.pieces.count(None) > MAX_STARS:
            raise self._wrong(f"a value has {MAX_STARS} stars at most")
        return self._term(self.name, "glob", spelled)

    def _time(self) -> Node:
        when = self._span()
        if self.operator == ">":
            return self._term("created", ">=", when.end_at)
        if self.operator == "<=":
            return self._term("created", "<", when.end_at)
        if self.operator != "=":
            return self._term("created", self.operator, when.start_at)
        if when.start_at == when.end_at:
            raise self._wrong(f"write after:{self.value.text}, or a date")
        since = self._term("created", ">=", when.start_at)
        return Both((since, self._term("created", "<", when.end_at)))

    def _span(self) -> Span:
        found = span(self.value.text, now_at=self.now_at)
        if found is None:
            raise self._wrong(
                f"'{self.value.text}' is no time: write 2026-11-01, 2026-11-01T15:04Z, "
                "today or 7d"
            )
        return found

    def _number(self) -> int:
        found = _NUMBER.fullmatch(self.value.text)
        number = int(found[1]) * _TIMES[found[2].lower()] if found else MAX_NUMBER + 1
        if number > MAX_NUMBER:
            raise self._wrong(
                f"'{self.value.text}' is no whole number that {self.name} can be "
                "compared with"
            )
        return number

    def _flag(self) -> int:
        said = _FLAGS.get(self.value.text.lower())
        if said is None:
            raise self._wrong(f"'{self.value.text}': write yes or no")
        return said

    def _has(self, name: str) -> Node:
        self._equal_only()
        if not name.startswith(TAG):
            name = name.lower()
        field = field_of(name)
        if name in {TAG, "tag"}:
            raise self._wrong("write has:tag.KEY")
        if field is None:
            raise self._wrong(self._no_field(name))
        if field.kind == "flag":
            return self._term(name, "=", 1)
        if field.kind in {"number", "time"}:
            return self._term(name, ">=", 0)
        if field.kind in {"id", "thread", "project"}:
            raise self._wrong(f"every exchange has one: 'has:{name}' asks nothing")
        return self._term(name, "glob", "*" if _may_be_empty(field) else "?*")

    def _is(self, what: str) -> Node:
        self._equal_only()
        if what in _STATES:
            return self._term("state", "=", what)
        if what == "failed":
            broken = self._term("state", "=", "incomplete")
            return Either((broken, self._term("status", ">=", 400)))
        field = FIELDS.get(what)
        if field is None or field.kind != "flag":
            flags = [field.name for field in FIELDS.values() if field.kind == "flag"]
            raise self._wrong(
                f"'{what}': write {', '.join((*_STATES, 'failed', *flags))}"
            )
        return self._term(what, "=", 1)

    def _equal_only(self) -> None:
        if self.operator != "=":
            raise BadQuery(
                f"'{self.name}' is no number: write {self.name}:VALUE", self.column
            )

    def _unknown(self) -> BadQuery:
        if self.name in {TAG, "tag"}:
            return BadQuery("write tag.KEY:VALUE", self.column)
        return BadQuery(self._no_field(self.name), self.column)

    def _no_field(self, name: str) -> str:
        close = nearest(name, *SUGAR)
        meant = f": did you mean '{close}'?" if close else "."
        return f"there is no field '{name}'{meant} Text to search goes in quotes"

    def _wrong(self, message: str) -> BadQuery:
        return BadQuery(message, self.value.column)

    def _term(self, name: str, operator: Operator, value: str | int) -> Term:
        return Term(name, operator, value, self.column)


def _may_be_empty(field: Field) -> bool:
    """Return whether a field may be empty and still be there.

    The path of a fault of the whole value is (RFC 6901 §5).
    """
    return field.kind == "tag" or field.name == "error_path"
