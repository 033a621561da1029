"""Sums up what a filter matches: counts, tokens, bytes and times by some fields."""

from collections.abc import Iterator, Sequence

import msgspec
import orjson
from sqlalchemy import case, func, literal, literal_column, select

from storage.errors import BadQuery
from storage.queries.conditions import asking
from storage.queries.content import Reader
from storage.queries.fields import FIELDS, TAG, Expression, tag_value
from storage.queries.pages import everything, newest
from storage.queries.predicate import Condition, predicate, reads_content
from storage.queries.tree import Node
from storage.reading import Library, Query
from storage.statements import bound
from storage.tables import exchanges

WINDOW_ROWS = 65_536
"""Rows of one statement: about half a second."""

_FOUND_ROWS = 2048

_c = exchanges.c


class Sums(msgspec.Struct):
    """Sums over some exchanges, to be added to.

    Shapes: `answered` have a status below 400, `unmetered` are those of them without a
    word of tokens; `judged` have any verdict, of which `valid` and `invalid` tell how
    many pass; `ms` counts exchanges by their whole milliseconds, to two digits.
    """

    exchanges: int = 0
    failed: int = 0
    answered: int = 0
    unmetered: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    judged: int = 0
    valid: int = 0
    invalid: int = 0
    ms: dict[int, int] = {}

    def add(self, other: "Sums") -> None:
        """Add what another sums up."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for took_ms, count in other.ms.items():
            self.ms[took_ms] = self.ms.get(took_ms, 0) + count

    @property
    def pass_ratio(self) -> float | None:
        """The share of valid ones of those that are valid or invalid."""
        told = self.valid + self.invalid
        return self.valid / told if told else None

    def percentile_ms(self, share: float) -> int | None:
        """Return the time that this share of exchanges took at most."""
        left = share * sum(self.ms.values())
        for took_ms in sorted(self.ms):
            left -= self.ms[took_ms]
            if left <= 0:
                return took_ms
        return None


_NUMBERS = tuple(name for name in Sums.__struct_fields__ if name != "ms")

Step = tuple[int, list[tuple[tuple[str, ...], Sums]]]


def sums(
    library: Library,
    query: Node | None,
    by: Sequence[str],
    *,
    read: Reader | None = None,
) -> Iterator[Step]:
    """Yield sums, to be added by their keys, and how many rows are looked at so far.

    Shapes: `by` has `day`, `model`, `tag.KEY` or another field that is a text.
    Raises: `BadQuery` where one is something else.
    """
    keys = [_key(name) for name in by]
    with asking(library, query, read):
        done = 0
        for count, chosen in _batches(library, query, read):
            done += count
            yield done, _summed(library, keys, chosen)


def _batches(
    library: Library, query: Node | None, read: Reader | None
) -> Iterator[tuple[int, Condition]]:
    """Yield conditions that choose some rows each, together all that match."""
    if reads_content(query):  # the index knows which, better than a look at every body
        seqs: list[int] = []
        for row in everything(library, query, read=read):
            seqs.append(row.seq)
            if len(seqs) == _FOUND_ROWS:
                yield len(seqs), _among(seqs)
                seqs = []
        yield len(seqs), _among(seqs)
        return
    for low in range(1, newest(library) + 1, WINDOW_ROWS):
        within = _c.seq.between(low, low + WINDOW_ROWS - 1)
        chosen = within if query is None else within & predicate(query)
        yield WINDOW_ROWS, chosen


def _among(seqs: list[int]) -> Condition:
    given = func.json_each(literal(orjson.dumps(seqs).decode()))
    return _c.seq.in_(select(given.table_valued("value").c.value))


def _summed(
    library: Library, keys: list[Expression], chosen: Condition
) -> list[tuple[tuple[str, ...], Sums]]:
    answered = "status BETWEEN 200 AND 399"
    columns: list[Expression] = [
        func.count(),
        _total(literal_column("state = 'incomplete' OR status >= 400")),
        _total(literal_column(answered)),
        _total(literal_column(f"{answered} AND prompt_tokens IS NULL")),
        *(
            _total(column)
            for column in (
                _c.prompt_tokens,
                _c.cached_tokens,
                _c.completion_tokens,
                _c.reasoning_tokens,
                _c.request_size,
                _c.answer_size,
                _c.verdict.is_not(None),
                _c.verdict == literal_column("'valid'"),
                _c.verdict == literal_column("'invalid'"),
            )
        ),
    ]
    took = _two_digits(FIELDS["ms"].columns[0])
    query: Query = select(*keys, took, *columns).where(chosen).group_by(*keys, took)
    found = []
    for values in library.connection.execute(*bound(query)):
        key, (took_ms, count, *rest) = values[: len(keys)], values[len(keys) :]
        part = Sums(count, *rest)
        if took_ms is not None:
            part.ms[took_ms] = count
        found.append((tuple(map(str, key)), part))
    return found


def _total(column: Expression) -> Expression:
    return func.coalesce(func.sum(column), literal_column("0"))


def _two_digits(number: Expression) -> Expression:
    """Return a number with all but its first two digits zero."""
    steps = [
        (number < 10 ** (digits + 2), number // step * step)
        for digits in range(9)
        for step in (literal_column(str(10**digits), number.type),)
    ]
    return case(*steps, else_=number)


def _key(name: str) -> Expression:
    """Return what exchanges are put together by.

    Raises: `BadQuery`.
    """
    empty: Expression = literal_column("''")
    if name == "day":
        return literal_column("date(created_at / 1000000, 'unixepoch')")
    if name == "model":  # the one served, or asked for where none answered
        return func.coalesce(func.nullif(_c.model_served, empty), _c.model_asked)
    if name.startswith(TAG) and name != TAG:
        return func.coalesce(tag_value(name.removeprefix(TAG)), empty)
    field = FIELDS.get(name)
    if field is None or field.kind not in {"text", "choice", "project"}:
        raise BadQuery(f"nothing can be summed up by '{name}'", 1)
    return func.coalesce(field.columns[0], empty)
