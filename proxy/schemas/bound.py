"""What was found to apply to an exchange: a registered schema, or a name of none."""

import msgspec


class Bound(msgspec.Struct, frozen=True):
    """A registered schema that applies.

    Shapes: `ref` is `name@version`, `digest` the SHA-256 of `document`, `why` as in
    `Judgement.why`; with `tool` only the arguments of that tool's calls are meant, else
    the content where there is any, or the arguments of all calls.
    """

    ref: str
    digest: bytes
    document: bytes
    why: str
    tool: str = ""


class Unknown(msgspec.Struct, frozen=True):
    """A schema that was asked for and is not registered. Shapes: as `Bound`."""

    ref: str
    why: str
    tool: str = ""
