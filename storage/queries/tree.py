"""The vocabulary of filters: what a query text reads as, and what executes it."""

from typing import Literal, TypeAlias

import msgspec

Operator: TypeAlias = Literal["=", "glob", ">", ">=", "<", "<="]


class Term(msgspec.Struct, frozen=True):
    """A comparison of one field.

    Shapes: `field` is a name of the language, such as `model` or `tag.task`; `value`
    is its operand, a number where the field is one; `column` counts from 1 and points
    into the text it was read from.
    """

    field: str
    operator: Operator
    value: str | int
    column: int = 1


class Words(msgspec.Struct, frozen=True):
    """Free text: words that stand one behind the other in a prompt or an answer.

    Shapes: `prefix` when the last word may go on.
    """

    text: str
    prefix: bool = False
    column: int = 1


class Both(msgspec.Struct, frozen=True):
    """All of several."""

    nodes: tuple["Node", ...]


class Either(msgspec.Struct, frozen=True):
    """At least one of several."""

    nodes: tuple["Node", ...]


class Except(msgspec.Struct, frozen=True):
    """What one does not match."""

    node: "Node"


Node: TypeAlias = Term | Words | Both | Either | Except
