"""What reading an answer comes to: the object it spells, and what is told of it."""

from msgspec import Struct

from storage.records import Json, Usage


class Stitched(Struct, frozen=True):
    """The object that an answer spells.

    Shapes: `whole` is what a request without `stream` gets, as far as it arrived;
    `complete` says by the rules of its API that it arrived whole, which a stream with
    an in-band error never did; `error` is the error's JSON.
    Units: `first_token_us` is the `seen_us` of the first event with text of the model.
    """

    whole: dict[str, Json]
    complete: bool
    error: bytes | None = None
    flags: tuple[str, ...] = ()
    first_token_us: int | None = None


class Answer(Struct, frozen=True, kw_only=True):
    """What the record tells of an answer without holding it.

    Shapes: `finish_reason` is that of choice 0, or a response's status, and
    `finish_reasons` those of all choices; `error` is the error object's JSON, from the
    body or from inside the stream; `messages` the JSON of each choice's message or of
    each output item. `complete` and `first_token_us` as in `Stitched`, where the answer
    to a refused request is complete once its body ended as framed.
    """

    completion_id: str = ""
    model: str = ""
    finish_reason: str | None = None
    finish_reasons: tuple[str | None, ...] = ()
    usage: Usage = Usage()
    error: bytes | None = None
    complete: bool = False
    preview: str = ""
    messages: tuple[bytes, ...] = ()
    first_token_us: int | None = None
    flags: tuple[str, ...] = ()
