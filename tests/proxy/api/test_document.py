"""The OpenAPI document says what is served, and what is served keeps to it."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from proxy.api import models
from tests.proxy.api.served import ask, served

pytestmark = pytest.mark.anyio
OUTSIDE = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/openapi.json",
    "/api/upkeep",
    "/api/upkeep/schemas",
}


def references(value: Any) -> set[str]:
    """Return all that a document refers to."""
    if isinstance(value, list):
        return set().union(*map(references, value))
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set()


async def test_it_has_every_route_and_nothing_else(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        told = (await to.nobody.get("/api/openapi.json")).json()
        assert "3.1.0" == told["openapi"]
        described = {
            (path, method.upper())
            for path, methods in told["paths"].items()
            for method in methods
        }
        routes = {
            (route.path, method)
            for route in to.proxy.app.own.routes
            if isinstance(route, Route) and route.path not in OUTSIDE
            for method in (route.methods or set()) - {"HEAD"}
        }
        assert routes == described
        names = [
            its["operationId"] for it in told["paths"].values() for its in it.values()
        ]
        assert len(names) == len(set(names))


async def test_it_says_what_it_leaves_out(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        told = (await to.nobody.get("/api/openapi.json")).json()
        assert (
            "`/api/upkeep`, and what is below it, is not" in told["info"]["description"]
        )
        ours = {path for path in OUTSIDE if path.startswith("/api/")}
        below = {path for path in ours if path.startswith("/api/upkeep")}
        assert {"/api/openapi.json"} == ours - below


async def test_all_it_refers_to_is_in_it(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        told = (await to.nobody.get("/api/openapi.json")).json()
        schemas = told["components"]["schemas"]
        wanted = {name.rsplit("/", 1)[1] for name in references(told)}
        assert wanted <= set(schemas)
        assert {"Page", "Exchange", "Failure", "TagChange"} <= set(schemas)
        limit = next(
            its
            for its in told["paths"]["/api/exchanges"]["get"]["parameters"]
            if its["name"] == "limit"
        )
        assert (1, models.MOST_ROWS) == (
            limit["schema"]["minimum"],
            limit["schema"]["maximum"],
        )


async def test_every_route_answers_in_the_type_it_says(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "a question")
        await to.console.put(f"/api/schemas/{name}", content=b"{}")
        told = (await to.nobody.get("/api/openapi.json")).json()
        for path, methods in told["paths"].items():
            if "get" not in methods or path.endswith("/tail"):
                continue
            place = re.sub(r"{\w+}", name, path.replace("{version}", "1"))
            answer = await to.console.get(place)
            (kind,) = methods["get"]["responses"]["200"]["content"]
            assert (200, kind) == (answer.status_code, answer.headers["content-type"])
