"""What `/api` takes and answers, as pydantic models; its document is made of them."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from proxy.inject import MAX_KEY_CHARACTERS, MAX_PAIRS, MAX_VALUE_CHARACTERS

MOST_ROWS = 500
MOST_AT_ONCE = 1000
"""Exchanges that one request may change."""

EXCHANGE_ID = r"^ex_[0-9a-f]{32}$"


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL")
    return text


def printable(text: str) -> str:
    """Return a text that people can read. Raises: `ValueError`."""
    if not text.isprintable():
        raise ValueError("it holds a character that cannot be printed")
    return text


Filter = Annotated[str, StringConstraints(max_length=4096), AfterValidator(_no_nul)]
Id = Annotated[str, StringConstraints(pattern=EXCHANGE_ID)]
Key = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_KEY_CHARACTERS),
    AfterValidator(printable),
]
Value = Annotated[
    str, StringConstraints(max_length=MAX_VALUE_CHARACTERS), AfterValidator(_no_nul)
]


class Taken(BaseModel):
    """What comes from outside: nothing in it is unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Given(BaseModel):
    """What goes out: nothing in it is left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListQuery(Taken):
    """Which exchanges to list."""

    q: Filter = Field(default="", description="A filter, as the command line has it.")
    cursor: str | None = Field(
        default=None,
        max_length=512,
        description="Where the last page ended: its `cursor`.",
    )
    limit: int = Field(default=50, ge=1, le=MOST_ROWS, description="Rows at most.")
    order: Literal["asc", "desc"] = Field(
        default="desc", description="`desc` has the newest first."
    )


class TailQuery(Taken):
    """Which exchanges to tell of as they end."""

    q: Filter = Field(default="", description="A filter, as the command line has it.")


class FacetQuery(Taken):
    """What to count, and among which exchanges."""

    q: Filter = Field(default="", description="A filter, as the command line has it.")
    fields: str = Field(
        default="model,status,state,upstream",
        max_length=1024,
        description="Fields to count the values of, comma-separated; "
        "`tag.task` is one.",
    )
    limit: int = Field(default=20, ge=1, le=200, description="Values of each field.")


class Nothing(Taken):
    """No parameters."""


class TagChange(Taken):
    """Tags to set and tags to take away."""

    add: dict[Key, Value] = Field(
        default_factory=dict, max_length=MAX_PAIRS, description="Set or replaced."
    )
    remove: list[Key] = Field(
        default_factory=list, max_length=MAX_PAIRS, description="Taken away."
    )


class ManyTagChange(TagChange):
    """One change of tags for several exchanges."""

    ids: list[Id] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Many(Taken):
    """Several exchanges."""

    ids: list[Id] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Usage(Given):
    """Tokens as the upstream counted them."""

    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None


class Row(Given):
    """One exchange in a list. Times are in UTC, `_ms` are milliseconds."""

    id: str
    created_at: str
    state: str
    reason: str | None
    status: int
    endpoint: str
    upstream: str
    target: str
    streamed: bool
    model_asked: str
    model_served: str
    completion_id: str
    finish_reason: str | None
    schema_name: str | None = Field(alias="schema")
    verdict: str | None
    error_path: str | None
    usage: Usage
    tags: dict[str, str]
    first_token_ms: float | None
    duration_ms: float | None
    own_ms: float
    content_kept: bool
    prompt_preview: str
    answer_preview: str
    request_bytes: int
    answer_bytes: int
    project: str
    error: Any


class Edit(Given):
    """One declared change to the request, as it went upstream."""

    where: str
    member: str
    value: str


class Fault(Given):
    """One place where an answer is not what its schema describes.

    Shapes: `at` points into the judged value, `rule` into the schema.
    """

    at: str
    rule: str
    message: str


class Judgement(Given):
    """What checking one part of an answer against one schema found.

    Shapes: `slot` points into the assembled answer; `digest` is the schema's SHA-256;
    `why` is what made it apply, `reason` why nothing was judged, `followed` why
    the client was not to get the answer: `enforced`, `asked_again`, or "".
    """

    slot: str
    schema_name: str = Field(alias="schema")
    digest: str
    why: str
    verdict: str
    reason: str
    followed: str
    judged_at: str
    faults: list[Fault]


class Exchange(Row):
    """One exchange with all that is kept of it.

    Shapes: bodies as text; null where they are longer than 8 MiB.
    """

    parent: str | None
    thread: str | None
    edits: list[Edit]
    dropped_tags: list[str]
    flags: list[str]
    previous_response_id: str
    retry_count: int
    prompt_fingerprint: str
    judgements: list[Judgement]
    request_headers: list[tuple[str, str]]
    answer_headers: list[tuple[str, str]]
    request_sha256: str
    sent_sha256: str
    answer_sha256: str
    kept_answer_bytes: int
    chunks: list[tuple[float, int]]
    request: str | None
    answer: str | None
    assembled: Any


class Page(Given):
    """Some exchanges. Shapes: no `cursor` is the last page."""

    object: Literal["list"]
    data: list[Row]
    cursor: str | None
    has_more: bool
    unindexed: int


class Count(Given):
    """A value of a field, and how many exchanges have it."""

    value: str
    count: int


class Facets(Given):
    """Counts of values, the most frequent first.

    Shapes: of the newest `exchanges` that match where time ran out: not `complete`.
    """

    object: Literal["facets"]
    fields: dict[str, list[Count]]
    exchanges: int
    complete: bool


class Deleted(Given):
    """An exchange that is no more."""

    object: Literal["exchange.deleted"]
    id: str
    deleted: Literal[True]


class Changed(Given):
    """What became of several.

    Shapes: ids; `missing` are not there, `under_way` have not ended, `held` are a
    release's.
    """

    object: Literal["changed"]
    changed: int
    missing: list[str]
    under_way: list[str]
    held: list[str]


class Told(Given):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str


class Failure(Given):
    """The envelope of every error, as OpenAI's clients read it."""

    error: Told
