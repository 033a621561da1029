"""What `/api/schemas` and `/api/bindings` take and answer, as pydantic models."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, RootModel, StringConstraints

from proxy.api.models import Given, Key, Taken, Value, printable
from proxy.inject import MAX_PAIRS
from proxy.schemas.traits import FINGERPRINT_DIGITS
from storage import schemas
from storage.records import Endpoint
from storage.registering import Entry
from storage.schemas import REF, Policy

MOST_ATTEMPTS = 10


Ref = Annotated[str, StringConstraints(pattern=rf"^{REF.pattern}$")]
Text = Annotated[str, StringConstraints(max_length=256), AfterValidator(printable)]


class NewBinding(Taken):
    """Which schema applies to what; all that is named has to be so."""

    schema_name: Ref = Field(
        alias="schema", description="A name, its newest version, or name@version."
    )
    model: Text = Field(default="", description="A glob of the model asked for.")
    tags: Annotated[dict[Key, Value], Field(max_length=MAX_PAIRS)] = Field(
        default_factory=dict, description="Tags that have to be there, as they are."
    )
    tool: Text = Field(
        default="", description="The arguments of this tool's calls are meant."
    )
    format_name: Text = Field(
        default="", description="The name in `response_format` or `text.format`."
    )
    prompt: Annotated[
        str, StringConstraints(pattern=rf"^([0-9a-f]{{{FINGERPRINT_DIGITS}}})?$")
    ] = Field(default="", description="The fingerprint of the system prompt.")
    upstream: Text = Field(default="", description="An upstream, by its name.")
    endpoint: Endpoint | Literal[""] = Field(default="", description="An endpoint.")
    policy: Policy = Field(default="observe", description="What follows.")
    attempts: int = Field(
        default=2, ge=1, le=MOST_ATTEMPTS, description="How often `repair` asks again."
    )
    position: int | None = Field(
        default=None, ge=1, description="Its place among all; behind all without."
    )

    @property
    def rule(self) -> schemas.Rule:
        """The rule, as it is kept."""
        names = schemas.Rule.__struct_fields__
        return schemas.Rule(**{name: getattr(self, name) for name in names})

    @property
    def entry(self) -> Entry:
        """The change that makes it."""
        return Entry(
            do="bind",
            schema=self.schema_name,
            rule=self.rule,
            policy=self.policy,
            attempts=self.attempts,
            position=self.position,
        )


class Place(Taken):
    """Where a binding goes."""

    position: int = Field(ge=1, description="Its place among all, from 1.")


class Trial(Taken):
    """Which recorded exchanges are judged, and whether they keep the verdicts."""

    where: str = Field(default="", description="A filter; all without.")
    tool: Text = Field(default="", description="The arguments of this tool's calls.")
    apply: bool = Field(
        default=False, description="Keep the verdicts, beside those there are."
    )


class Change(Given):
    """How many exchanges had one verdict and got another."""

    before: str | None
    now: str
    count: int


class Broken(Given):
    """A place where answers break a rule of the schema, first of all places.

    Shapes: JSON pointers, `at` with `*` for every index; `examples` are ids.
    """

    at: str
    rule: str
    message: str
    count: int
    examples: list[str]


class Judgements(Given):
    """What judging found; counts of exchanges.

    Shapes: `verdicts` by the worst of each, `unchecked` and `not_judged` by reason;
    `pass_ratio` of valid ones among valid and invalid ones, null where there is none.
    """

    object: Literal["judgements"]
    schema_name: str = Field(alias="schema")
    applied: bool
    exchanges: int
    judged: int
    pass_ratio: float | None
    verdicts: dict[str, int]
    unchecked: dict[str, int]
    not_judged: dict[str, int]
    changes: list[Change]
    errors: list[Broken]


class Document(RootModel[Any]):
    """A JSON Schema, kept byte for byte."""


class Version(Given):
    """One version of a registered schema.

    Shapes: `digest` is the SHA-256 of the document as it was given, in hex.
    """

    object: Literal["schema"]
    ref: str
    name: str
    version: int
    digest: str
    document_bytes: int
    source: str
    created_at: str


class Whole(Version):
    """A version with its document, and which versions there are."""

    document: Any
    versions: list[int]


class Put(Version):
    """A version. Shapes: not `new` where it is the newest one already."""

    new: bool


class Versions(Given):
    """The newest version of every schema."""

    object: Literal["list"]
    data: list[Version]


class Rule(Given):
    """What an exchange has to have; "" and {} are no matter."""

    model: str
    tags: dict[str, str]
    tool: str
    format_name: str
    prompt: str
    upstream: str
    endpoint: str


class Binding(Given):
    """What applies to what a rule chooses. Shapes: `id` as in `binding:7`."""

    object: Literal["binding"]
    id: int
    schema_name: str = Field(alias="schema")
    rule: Rule
    policy: Policy
    attempts: int


class Bindings(Given):
    """All bindings, in the order in which they are asked."""

    object: Literal["list"]
    data: list[Binding]


class Ended(Given):
    """A binding that is no more."""

    object: Literal["binding.deleted"]
    id: int
    deleted: Literal[True]
