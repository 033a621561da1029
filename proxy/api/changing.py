"""Changes what is recorded: tags, and whether it stays."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from proxy.api import models
from proxy.api.asking import body, exchange_id, parameters
from proxy.api.desk import Desk
from proxy.api.sending import Json
from proxy.api.who import Visitor
from proxy.commands import rows
from proxy.errors import NotFoundError, UnderWayError
from proxy.stitch.values import write_json
from storage.chosen import Change, Outcome, erasing, retagging
from storage.reading import Library

AT_ONCE = 32
"""Exchanges changed in one transaction: traffic waits for it, some milliseconds."""


class Changing:
    """The writing half of `/api/exchanges`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def tag(self, request: Request, visitor: Visitor) -> Response:
        """Change the tags of one exchange; return its row."""
        parameters(request, models.Nothing)
        who, name = visitor.fingerprint, exchange_id(request)
        asked = await body(request, models.TagChange)
        add = self._desk.mask_tags(asked.add)
        change = retagging([name], fingerprint=who, add=add, remove=asked.remove)
        refuse_unchanged(await self._desk.recorder.change(change))

        def read(library: Library, projects: frozenset[str] | None) -> bytes:
            return write_json(rows.as_json(library.row(name, projects=projects)))

        return Json(await self._desk.read(visitor, read))

    async def delete(self, request: Request, visitor: Visitor) -> Response:
        """Remove one exchange and all that is kept of it."""
        parameters(request, models.Nothing)
        who, name = visitor.fingerprint, exchange_id(request)
        change = erasing([name], fingerprint=who)
        refuse_unchanged(await self._desk.recorder.change(change))
        told = {"object": "exchange.deleted", "id": name, "deleted": True}
        return Json(write_json(told))

    async def tag_many(self, request: Request, visitor: Visitor) -> Response:
        """Change the tags of several exchanges."""
        parameters(request, models.Nothing)
        who = visitor.fingerprint
        asked = await body(request, models.ManyTagChange)
        add = self._desk.mask_tags(asked.add)
        return await self._changed(
            asked.ids,
            lambda ids: retagging(ids, fingerprint=who, add=add, remove=asked.remove),
        )

    async def delete_many(self, request: Request, visitor: Visitor) -> Response:
        """Remove several exchanges."""
        parameters(request, models.Nothing)
        who = visitor.fingerprint
        asked = await body(request, models.Many)
        return await self._changed(asked.ids, lambda ids: erasing(ids, fingerprint=who))

    async def _changed(
        self, ids: Sequence[str], change: Callable[[Sequence[str]], Change]
    ) -> Response:
        """Change some at a time, and tell what became of all."""
        names, parts = list(dict.fromkeys(ids)), list[Outcome]()
        for at in range(0, len(names), AT_ONCE):
            part = change(names[at : at + AT_ONCE])
            parts.append(await self._desk.recorder.change(part))
        told = {
            "object": "changed",
            "changed": sum(len(part.changed) for part in parts),
            "missing": [name for part in parts for name in part.missing],
            "under_way": [name for part in parts for name in part.under_way],
            "held": [name for part in parts for name in part.held],
        }
        return Json(write_json(told))


def refuse_unchanged(outcome: Outcome) -> None:
    """Raise where the one exchange that was named did not change."""
    for name in outcome.missing:
        raise NotFoundError(f"No exchange has the id {name}.")
    for name in outcome.under_way:
        raise UnderWayError(
            f"{name} has not ended: change it once it has.", code="under_way"
        )
    for name in outcome.held:
        raise UnderWayError(
            f"{name} stays: a release is made of it.", code="held_by_release"
        )
