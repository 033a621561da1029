"""Serves what is registered, to the operator alone: schemas, versions and bindings.

A schema may be made of what others recorded, so callers' keys do not read it either.
"""

from typing import TypeVar

from starlette.requests import Request

from proxy.api import models, registered
from proxy.api.asking import body, octets, parameters
from proxy.api.sending import Json
from proxy.api.who import Visitor
from proxy.commands.registered import added_json, binding_json, version_json, whole_json
from proxy.errors import ClientError, ForbiddenError, NotFoundError, OwnError
from proxy.schemas.admit import addition
from proxy.schemas.document import SchemaRefused
from proxy.schemas.registrar import Registrar
from proxy.schemas.registry import Registry
from proxy.stitch.values import write_json
from storage.registering import Entry
from storage.schemas import Version

T = TypeVar("T")


class Registering:
    """All of `/api/schemas` and `/api/bindings`."""

    def __init__(self, registrar: Registrar) -> None:
        self._registrar = registrar

    @property
    def _registry(self) -> Registry:
        return self._registrar.registry

    async def schemas(self, request: Request, visitor: Visitor) -> Json:
        """Return the newest version of every schema."""
        admitted(request, visitor)
        data = [version_json(its) for its in self._registry.newest()]
        return Json(write_json({"object": "list", "data": data}))

    async def newest(self, request: Request, visitor: Visitor) -> Json:
        """Return the newest version of one schema, whole."""
        admitted(request, visitor)
        return self._whole(request.path_params["name"])

    async def version(self, request: Request, visitor: Visitor) -> Json:
        """Return one version of one schema, whole."""
        admitted(request, visitor)
        its = request.path_params
        return self._whole(f"{its['name']}@{its['version']}")

    async def put(self, request: Request, visitor: Visitor) -> Json:
        """Register the body as the newest version."""
        admitted(request, visitor)
        name, document = request.path_params["name"], await octets(request)
        try:
            entry = await addition(name, document, source="api")
        except SchemaRefused as exc:
            raise ClientError(
                exc.message, code="schema_refused", param=exc.path or None
            ) from exc
        done = await self._registrar.enter(entry)
        return Json(write_json(added_json(_sure(done.version), new=done.new)))

    async def bindings(self, request: Request, visitor: Visitor) -> Json:
        """Return all bindings, in their order."""
        admitted(request, visitor)
        data = [binding_json(its) for its in self._registry.bindings]
        return Json(write_json({"object": "list", "data": data}))

    async def bind(self, request: Request, visitor: Visitor) -> Json:
        """Bind a schema to what a rule chooses."""
        admitted(request, visitor)
        asked = await body(request, registered.NewBinding)
        done = await self._registrar.enter(asked.entry)
        return Json(write_json(binding_json(_sure(done.binding))))

    async def move(self, request: Request, visitor: Visitor) -> Json:
        """Put a binding at another place."""
        admitted(request, visitor)
        number = _number(request)
        asked = await body(request, registered.Place)
        entry = Entry(do="move", number=number, position=asked.position)
        done = await self._registrar.enter(entry)
        return Json(write_json(binding_json(_sure(done.binding))))

    async def unbind(self, request: Request, visitor: Visitor) -> Json:
        """End a binding."""
        admitted(request, visitor)
        number = _number(request)
        await self._registrar.enter(Entry(do="unbind", number=number))
        told = {"object": "binding.deleted", "id": number, "deleted": True}
        return Json(write_json(told))

    def _whole(self, ref: str) -> Json:
        its = registered_as(self._registry, ref)
        versions = [one.version for one in self._registry.history(its.name)]
        return Json(whole_json(its, versions))


def registered_as(registry: Registry, ref: str) -> Version:
    """Return a version, by its ref or its name. Raises: `NotFoundError`."""
    its = registry.find(ref)
    if its is None:
        raise NotFoundError(f"No schema is registered as {ref[:96]}.")
    return its


def admitted(request: Request, visitor: Visitor) -> None:
    """Let the operator pass, with nothing in the query. Raises: `ForbiddenError`."""
    if not visitor.sees_all:
        raise ForbiddenError(
            "Schemas are the operator's: present the console's token, or use "
            "'spiritsafe schema' where the file is."
        )
    parameters(request, models.Nothing)


def _number(request: Request) -> int:
    """Return the number in a path; one that no binding has where it is none."""
    text = str(request.path_params["number"])
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _sure(made: T | None) -> T:
    if made is None:  # pragma: no cover  adding gives a version, binding a binding
        raise OwnError("A change of what is registered came to nothing.")
    return made
