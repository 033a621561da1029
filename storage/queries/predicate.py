"""A tree as SQL over `exchanges`: what decides, whatever found the rows.

Each expression is 1 or 0 and never NULL, so that `not` turns every one around.
"""

from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    and_,
    case,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)

from storage.queries.fields import TAG, Expression, Field, field_of
from storage.queries.tree import Both, Either, Except, Node, Operator, Term, Words
from storage.tables import callers, exchanges
from storage.writable import writable

Condition: TypeAlias = ColumnElement[bool]
Content: TypeAlias = Callable[[Words | Term], Condition]

_c = exchanges.c
_ANY = "\U0010ffff"  # behind every text that goes on


def predicate(node: Node, *, content: Content | None = None) -> Condition:
    """Return a tree as a condition on a row of `exchanges`.

    Shapes: `content` says for words, and for a term of a tool, which rows have them:
    they are in no row. Without it they are asked of the functions `spiritsafe_says`
    and `spiritsafe_calls` of the connection.
    """
    return _Translation(content or _of_functions).condition(node)


def reads_content(node: Node | None) -> bool:
    """Say whether a tree asks for what stands in bodies alone."""
    if isinstance(node, Both | Either):
        return any(map(reads_content, node.nodes))
    if isinstance(node, Except):
        return reads_content(node.node)
    return isinstance(node, Words) or (isinstance(node, Term) and node.field == "tool")


def phrase(words: Words) -> str:
    """Return words as FTS5 takes them: a phrase, whatever stands in it.

    >>> phrase(Words('say "hi', prefix=True))
    '"say ""hi" *'
    """
    quoted = writable(words.text).replace("\0", " ").replace('"', '""')
    return f'"{quoted}"{" *" * words.prefix}'


def _of_functions(node: Words | Term) -> Condition:
    if isinstance(node, Words):
        return _true(func.spiritsafe_says(_c.seq, phrase(node)))
    return _true(func.spiritsafe_calls(_c.seq, node.operator, node.value))


def _true(expression: Expression) -> Condition:
    return expression == literal_column("1")


class _Translation:
    def __init__(self, content: Content) -> None:
        self._content = content

    def condition(self, node: Node) -> Condition:
        if isinstance(node, Both):
            return self._both(node.nodes)
        if isinstance(node, Either):
            return or_(*map(self.condition, node.nodes))
        if isinstance(node, Except):
            return not_(self.condition(node.node))
        if isinstance(node, Words):
            return self._content(node)
        return self._term(node)

    def _both(self, nodes: tuple[Node, ...]) -> Condition:
        """Return a condition that reads bodies of rows alone that pass the rest."""
        bare = [self.condition(one) for one in nodes if not reads_content(one)]
        cheap = and_(true(), *bare)
        dear = [self.condition(one) for one in nodes if reads_content(one)]
        if not dear:
            return cheap
        return _true(case((cheap, and_(*dear)), else_=literal_column("0")))

    def _term(self, term: Term) -> Condition:
        field = field_of(term.field)
        if field is None:
            raise ValueError(f"no field is called {term.field}")
        if field.kind == "tool":
            return self._content(term)
        if field.kind == "tag":
            return _tagged(term)
        if field.kind == "id":
            return _named(exchanges, str(term.value))
        if field.kind == "thread":
            return _in_thread(str(term.value))
        if field.kind == "project":
            return _compared(_project(), term.operator, term.value)
        return _any_column(field, term)


def _any_column(field: Field, term: Term) -> Condition:
    return or_(
        *(_compared(column, term.operator, term.value) for column in field.columns)
    )


def _compared(column: Expression, operator: Operator, value: str | int) -> Condition:
    given: Expression = literal(value)
    if operator == "=":
        return column.is_not_distinct_from(given)
    symbol = "GLOB" if operator == "glob" else operator
    return _true(func.coalesce(column.op(symbol)(given), literal_column("0")))


def _tagged(term: Term) -> Condition:
    pairs = func.json_each(_c.tags).table_valued("key", "value").alias()
    key = term.field.removeprefix(TAG)
    return (
        select(literal_column("1"))
        .select_from(pairs)
        .where(pairs.c.key == key, _compared(pairs.c.value, term.operator, term.value))
        .exists()
    )


def _named(table: FromClause, name: str) -> Condition:
    starts = and_(table.c.id >= name, table.c.id < name + _ANY)
    completed = and_(table.c.completion_id == name, table.c.completion_id != "")
    return or_(starts, completed)


def _in_thread(name: str) -> Condition:
    others = exchanges.alias()
    roots = select(others.c.thread).where(_named(others, name))
    return _c.thread.in_(roots)


def _project() -> Expression:
    """Return the project that a row's key belongs to: its own where none was given."""
    own = select(callers.c.project).where(callers.c.fingerprint == _c.project)
    own = own.correlate(exchanges)  # also where no statement is around it
    return func.coalesce(own.scalar_subquery(), _c.project)
