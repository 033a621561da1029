"""Reads what a request asks into models, strictly, or says what is wrong with it."""

import re
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from proxy.bodies import read_body
from proxy.errors import ClientError, NotFoundError, TooLargeError

MOST_BODY_BYTES = 4 * 1024 * 1024
MOST_PARAMETERS = 64
MOST_TOLD = 200

_ID = re.compile(r"ex_[0-9a-f]{32}")

M = TypeVar("M", bound=BaseModel)


def parameters(request: Request, model: type[M]) -> M:
    """Return the parameters of a query string.

    Raises: `ClientError` for what is unknown, said twice or out of its bounds.
    """
    text = request.scope["query_string"]
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_PARAMETERS,
        )
    except ValueError:
        raise ClientError(
            "The query string is no list of parameters: write name=value, joined by "
            f"'&', percent-encoded UTF-8, {MOST_PARAMETERS} at most."
        ) from None
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ClientError(f"{_short(twice)} is said twice.", param=_short(twice))
    try:
        return model.model_validate_strings(found)
    except ValidationError as exc:
        raise refused(exc) from None


async def body(request: Request, model: type[M]) -> M:
    """Return the JSON body of a request.

    Raises: as `octets`; `ClientError` for what is no JSON, unknown or out of its
    bounds.
    """
    data = await octets(request)
    try:
        return model.model_validate_json(data)
    except ValidationError as exc:
        raise refused(exc) from None


async def octets(request: Request) -> bytes:
    """Return the body of a request as it came.

    Raises: `TooLargeError`; `ClientGone` and `BodyTimeoutError` as `read_body`.
    """
    turn = request.scope["extensions"]["spiritsafe"]
    try:
        return await read_body(request.receive, turn, MOST_BODY_BYTES)
    except TooLargeError:
        raise TooLargeError(
            f"The body is larger than the {MOST_BODY_BYTES} bytes that are read here: "
            "change fewer at once."
        ) from None


def exchange_id(request: Request) -> str:
    """Return the id in a path.

    Raises: `NotFoundError` for what is none.
    """
    name = str(request.path_params["id"])
    if not _ID.fullmatch(name):
        raise NotFoundError(
            "This is no id of an exchange: it is ex_ and 32 hexadecimal digits."
        )
    return name


def refused(error: ValidationError) -> ClientError:
    """Return what to tell of input that fits no model: the first thing wrong.

    It names the place and the rule, and never repeats what was sent there.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[
        0
    ]
    where = ".".join(_short(str(part)) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return ClientError(
            f"There is no {where} here: see /api/openapi.json.",
            code="unknown_parameter",
            param=where,
        )
    said = first["msg"].removeprefix("Value error, ")
    return ClientError(
        f"{where or 'The body'}: {said}.",
        code="invalid_value" if where else "invalid_json",
        param=where or None,
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_TOLD else text[:MOST_TOLD] + "…"
