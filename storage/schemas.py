"""Registered schemas and what they are bound to, as values and as rows of the file."""

import re
from typing import Literal, TypeAlias

import msgspec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a schema may be called; `x-spiritsafe-schema` takes no other name."""

REF = re.compile(rf"{NAME.pattern}(?:@[1-9][0-9]{{0,8}})?")
"""A name, which means its newest version, or one version of it."""

Policy: TypeAlias = Literal[
    "observe",  # the verdict is recorded, and that is all
    "header",  # and told in `x-spiritsafe-verdict`; no stream waits for it
    "enforce",  # an invalid answer becomes 502; streams are held back whole
    "repair",  # the upstream is asked again for a valid one; streams are held back
]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a registered schema; it never changes.

    Shapes: `document` is the JSON Schema as it was given, `digest` its SHA-256.
    Units: `created_at` microseconds since the epoch, UTC.
    """

    name: str
    version: int
    digest: bytes
    document: bytes
    source: str
    created_at: int

    @property
    def ref(self) -> str:
        """What it is called in records: `invoice@2`."""
        return f"{self.name}@{self.version}"


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an exchange has to have for a binding to apply; "" and {} are no matter.

    Shapes: `model` is a glob of the model asked for; `tags` have to be there with these
    values; `tool` names the tool whose arguments are meant; `format_name` is the name
    in `response_format`; `prompt` the fingerprint of its system prompt.
    """

    model: str = ""
    tags: dict[str, str] = {}
    tool: str = ""
    format_name: str = ""
    prompt: str = ""
    upstream: str = ""
    endpoint: str = ""


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """Which schema applies to what a rule chooses, and what follows from a verdict.

    Shapes: `schema` is a name, which means its newest version, or `name@version`;
    `attempts` is how often `repair` asks again at most.
    """

    id: int
    schema: str
    rule: Rule
    policy: Policy = "observe"
    attempts: int = 2
