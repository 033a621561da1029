"""One recorded exchange as its uses take it: the request's bytes, the answer whole."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from storage.records import Endpoint, State

Json: TypeAlias = dict[str, Any]  # a JSON object, read


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What the client asked and what came back.

    Shapes: `request` is the body as received; `answer` the answer's JSON object, a
    stream assembled, or None where there is none; `verdict` is the last one, and
    `verdicts` those by each schema, by its name and by its digest;
    `wrong` finds the places in the request's messages of answers that were `invalid`,
    for the formats that ask;
    `first` is the attempt that this one, asking again, is to set right in the end.
    """

    endpoint: Endpoint
    state: State
    status: int
    content_kept: bool
    request: bytes
    answer: Json | None
    verdict: str | None = None
    verdicts: Mapping[str | bytes, str] = {}
    wrong: Callable[[], frozenset[int]] = frozenset
    first: "Pair | None" = None
