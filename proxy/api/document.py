"""Writes the OpenAPI document of `/api` from its offers and their models."""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from proxy.api.models import EXCHANGE_ID, Failure
from proxy.api.offers import Offer
from storage.records import Json
from storage.schemas import NAME

NUMBER = r"^[1-9][0-9]{0,8}$"
REFERENCE = "#/components/schemas/{model}"

IN_PATH = {
    "id": EXCHANGE_ID,
    "name": rf"^{NAME.pattern}$",
    "number": NUMBER,
    "version": NUMBER,
}

REFUSALS = {
    400: "A parameter or the body says what cannot be; `param` names it.",
    401: "No key.",
    403: "It is for the console's token alone.",
    404: "There is none of this id for the caller.",
    409: "It has not ended, or a release is made of it.",
    413: "The body is too large.",
    503: "Too much at once, or it would take too long: come again.",
}
ALWAYS = (400, 401, 503)

ABOUT = (
    "What a Spiritsafe has recorded. A caller's key reads and changes what its own "
    "project recorded, the console's token all of it. `/api/upkeep`, and what is below "
    "it, is not described: it is for the commands of the same version on the same "
    "machine, which it knows by a secret beside the file."
)


def document(offers: Sequence[Offer]) -> dict[str, Json]:
    """Return the document."""
    paths: dict[str, dict[str, Json]] = {}
    for offer in offers:
        paths.setdefault(offer.path, {})[offer.method.lower()] = _operation(offer)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Spiritsafe",
            "version": version("spiritsafe"),
            "description": ABOUT,
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(offers),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _operation(offer: Offer) -> dict[str, Json]:
    told: dict[str, Json] = {
        "operationId": offer.name,
        "summary": offer.about,
        "parameters": [*_in_path(offer), *_in_query(offer.parameters)],
        "responses": {
            "200": {"description": "Done.", "content": _content(offer.answer)},
            **{str(status): _refusal(status) for status in _statuses(offer)},
        },
    }
    if offer.body is not None:
        told["requestBody"] = {"required": True, "content": _content(offer.body)}
    return told


def _statuses(offer: Offer) -> list[int]:
    too_large = () if offer.body is None else (413,)
    return sorted({*ALWAYS, *offer.refusals, *too_large})


def _refusal(status: int) -> dict[str, Json]:
    return {"description": REFUSALS[status], "content": _content(Failure)}


def _content(kind: type[BaseModel] | str) -> dict[str, Json]:
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "string"}}}
    schema = {"$ref": REFERENCE.format(model=kind.__name__)}
    return {"application/json": {"schema": schema}}


def _in_path(offer: Offer) -> Iterable[dict[str, Json]]:
    for name in re.findall(r"{(\w+)}", offer.path):
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": IN_PATH[name]},
        }


def _in_query(model: type[BaseModel]) -> Iterable[dict[str, Json]]:
    schema = model.model_json_schema()
    for name, its in schema.get("properties", {}).items():
        about = its.pop("description", "")
        yield {"name": name, "in": "query", "description": about, "schema": its}


def _schemas(offers: Iterable[Offer]) -> Json:
    taken = {offer.body for offer in offers if offer.body is not None}
    given: set[type[BaseModel]] = {
        offer.answer for offer in offers if not isinstance(offer.answer, str)
    }
    modes: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = []
    modes += [(model, "validation") for model in taken]
    modes += [(model, "serialization") for model in given | {Failure}]
    modes.sort(key=lambda pair: pair[0].__name__)
    _, told = models_json_schema(modes, ref_template=REFERENCE)
    return told["$defs"]
