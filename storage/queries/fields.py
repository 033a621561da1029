"""The fields that a filter can name: what kind each is, and what it reads of a row.

The expressions over `exchanges` stand here once: the predicate compares them, and what
is kept beside the file to find rows faster selects the same.
"""

from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from sqlalchemy import ColumnElement, Integer, case, func, literal_column, select

from storage.records import Endpoint, Reason, State
from storage.tables import exchanges

Kind: TypeAlias = Literal[
    "text",  # equal, or like a pattern
    "choice",  # a text of few known values
    "number",  # an integer, never negative
    "time",  # microseconds since the epoch
    "flag",  # 1 or 0, never NULL
    "tag",  # a value of the key that the name goes on with: `tag.task`
    "tool",  # the name of a tool that the answer calls; not in the row
    "id",  # an id, its start, or a completion id
    "thread",  # the same, of any exchange of the thread
    "project",  # a project, as callers' keys are assigned to it
]

Expression: TypeAlias = ColumnElement[Any]

TAG = "tag."


class Field(msgspec.Struct, frozen=True):
    """One field of the language.

    Shapes: a row matches where any of `columns` does; NULL matches nothing. `values`
    are those of a choice.
    """

    name: str
    kind: Kind
    about: str
    columns: tuple[Expression, ...] = ()
    values: tuple[str, ...] = ()


_c = exchanges.c


def _sum(one: Expression, other: Expression) -> Expression:
    """Return a sum that is NULL only where both are."""
    zero: Expression = literal_column("0")
    both = func.coalesce(one, zero) + func.coalesce(other, zero)
    return case((func.coalesce(one, other).is_not(None), both))


def _ms(until: Expression) -> Expression:
    """Return whole milliseconds since the exchange was created."""
    return (until - _c.created_at) // literal_column("1000", Integer)


_ALL = (
    Field("model", "text", "asked for or served", (_c.model_asked, _c.model_served)),
    Field("model_asked", "text", "as the client wrote it", (_c.model_asked,)),
    Field("model_served", "text", "as the upstream told it", (_c.model_served,)),
    Field("status", "number", "of HTTP; 0 where none came", (_c.status,)),
    Field("state", "choice", "how far it got", (_c.state,), get_args(State)),
    Field("reason", "choice", "why incomplete", (_c.reason,), get_args(Reason)),
    Field("finish", "text", "finish reason", (_c.finish_reason,)),
    Field("endpoint", "choice", "of the API", (_c.endpoint,), get_args(Endpoint)),
    Field("upstream", "text", "by its name", (_c.upstream,)),
    Field("target", "text", "path and query as sent", (_c.target,)),
    Field("verdict", "text", "the worst of its last check", (_c.verdict,)),
    Field("schema", "text", "of that verdict, as NAME@VERSION", (_c.schema,)),
    Field("error_path", "text", 'first broken; or error:/PATH, ""', (_c.error_path,)),
    Field("project", "project", "whose key sent it", (_c.project,)),
    Field("tag", "tag", "tag.KEY:VALUE"),
    Field("tool", "tool", "called by the answer"),
    Field("id", "id", "its start will do, or a completion id", (_c.id,)),
    Field("thread", "thread", "the whole conversation of an id", (_c.thread,)),
    Field("created", "time", "when it began", (_c.created_at,)),
    Field(
        "tokens",
        "number",
        "prompt and completion",
        (_sum(_c.prompt_tokens, _c.completion_tokens),),
    ),
    Field("prompt_tokens", "number", "cached ones included", (_c.prompt_tokens,)),
    Field("cached_tokens", "number", "of the prompt", (_c.cached_tokens,)),
    Field("completion_tokens", "number", "of the answer", (_c.completion_tokens,)),
    Field("reasoning_tokens", "number", "of the answer", (_c.reasoning_tokens,)),
    Field("ms", "number", "from first to last byte", (_ms(_c.ended_at),)),
    Field("first_ms", "number", "to the first token", (_ms(_c.first_token_at),)),
    Field("request_bytes", "number", "of the body", (_c.request_size,)),
    Field("answer_bytes", "number", "of the body", (_c.answer_size,)),
    Field("retries", "number", "told by the client's library", (_c.retry_count,)),
    Field("stream", "flag", "asked for as a stream", (_c.streamed,)),
    Field("kept", "flag", "its content is kept", (_c.content_kept,)),
    Field("error", "flag", "the upstream told an error", (_c.error.is_not(None),)),
    Field("parent", "flag", "goes on from another one", (_c.parent.is_not(None),)),
)

FIELDS: dict[str, Field] = {field.name: field for field in _ALL}


def tag_value(key: str) -> Expression:
    """Return what a row has under a tag's key, NULL where it has none."""
    pairs = func.json_each(_c.tags).table_valued("key", "value").alias()
    value = select(pairs.c.value).where(pairs.c.key == key).limit(1)
    return value.correlate(exchanges).scalar_subquery()


def field_of(name: str) -> Field | None:
    """Return the field of a name; that of all tags for `tag.task`."""
    return FIELDS["tag"] if name.startswith(TAG) else FIELDS.get(name)


def nearest(name: str, *others: str) -> str | None:
    """Return the field, or one of these other names, that a name may have meant."""
    close = get_close_matches(name, (*FIELDS, *others), 1)
    return close[0] if close else None
