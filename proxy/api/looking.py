"""Answers questions about what is recorded: lists, one exchange, its bytes."""

from collections.abc import Callable
from contextlib import ExitStack

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from proxy import splice
from proxy.api import models
from proxy.api.asking import exchange_id, parameters
from proxy.api.desk import READ_TIMEOUT_S, Desk
from proxy.api.filters import parsed, refused
from proxy.api.sending import Held, Inert, Json
from proxy.api.who import Visitor
from proxy.budget import Share
from proxy.commands import rows, showing
from proxy.errors import ClientError, NotFoundError, OwnError
from proxy.said import said
from proxy.stitch.values import write_json
from storage.assemble import Kept
from storage.errors import BadQuery
from storage.queries.counts import MOST_FIELDS, count
from storage.queries.pages import page
from storage.reading import Library
from storage.verify import DAMAGE

PAGE_TIMEOUT_S = READ_TIMEOUT_S / 2
"""A page that takes longer ends early, and its cursor goes on from there."""

COUNT_TIMEOUT_S = 1.0
"""Counts are of as many exchanges as could be looked at by then, the newest."""

MOST_TOLD_BYTES = 8 * 1024 * 1024
"""Longer bodies are not told as text: writing it would hold up the traffic."""


class Looking:
    """The reading half of `/api/exchanges`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def many(self, request: Request, visitor: Visitor) -> Response:
        """Return a page of rows."""
        asked = parameters(request, models.ListQuery)
        node = parsed(asked.q)

        def read(library: Library, projects: frozenset[str] | None) -> bytes:
            found = page(
                library,
                node,
                projects=projects,
                newest_first=asked.order == "desc",
                cursor=asked.cursor,
                limit=asked.limit,
                deadline_s=PAGE_TIMEOUT_S,
                read=said,
            )
            return write_json(
                {
                    "object": "list",
                    "data": [rows.as_json(row) for row in found.rows],
                    "cursor": found.cursor,
                    "has_more": found.cursor is not None,
                    "unindexed": found.unindexed,
                }
            )

        return Json(await self._desk.read(visitor, read))

    async def counts(self, request: Request, visitor: Visitor) -> Response:
        """Return how many exchanges have which values, as far as time allows."""
        asked = parameters(request, models.FacetQuery)
        node = parsed(asked.q)
        names = list(dict.fromkeys(name.strip() for name in asked.fields.split(",")))
        if len(names) > MOST_FIELDS:
            raise ClientError(
                f"{MOST_FIELDS} fields at most are counted at once.", param="fields"
            )

        def read(library: Library, projects: frozenset[str] | None) -> bytes:
            try:
                found = count(
                    library,
                    node,
                    names,
                    projects=projects,
                    read=said,
                    limit=asked.limit,
                    deadline_s=COUNT_TIMEOUT_S,
                )
            except BadQuery as exc:
                raise refused(exc, "fields") from None
            return write_json(
                {
                    "object": "facets",
                    "fields": {
                        name: [{"value": value, "count": n} for value, n in values]
                        for name, values in found.fields.items()
                    },
                    "exchanges": found.exchanges,
                    "complete": found.complete,
                }
            )

        return Json(await self._desk.read_aside(visitor, read))

    async def one(self, request: Request, visitor: Visitor) -> ASGIApp:
        """Return an exchange with all that is kept of it."""
        return await self._whole(request, visitor, as_json, Json)

    async def request(self, request: Request, visitor: Visitor) -> ASGIApp:
        """Return the body of the request as it was received, byte for byte."""
        return await self._whole(
            request, visitor, content(lambda kept: kept.request), Inert
        )

    async def sent(self, request: Request, visitor: Visitor) -> ASGIApp:
        """Return the body that went upstream: as received, with the declared edits."""
        made = content(lambda kept: splice.reapply(kept.request, kept.edits))
        return await self._whole(request, visitor, made, Inert)

    async def answer(self, request: Request, visitor: Visitor) -> ASGIApp:
        """Return the body of the answer as it was received, byte for byte."""
        return await self._whole(
            request, visitor, content(lambda kept: kept.answer), Inert
        )

    async def _whole(
        self,
        request: Request,
        visitor: Visitor,
        told: Callable[[Kept], bytes],
        kind: Callable[[bytes], Response],
    ) -> ASGIApp:
        """Answer with what is told of an exchange, in the memory set aside for it."""
        parameters(request, models.Nothing)
        name = exchange_id(request)
        desk = self._desk

        def size_bytes(library: Library, projects: frozenset[str] | None) -> int:
            row = library.row(name, projects=projects)
            return row.request_size + row.answer_size

        def read(library: Library, projects: frozenset[str] | None) -> bytes:
            row = library.row(name, projects=projects)
            try:
                return told(library.whole(row))
            except DAMAGE as exc:
                raise OwnError(
                    f"{name} cannot be read: 'spiritsafe verify' tells why.",
                    code="damaged",
                ) from exc

        wanted = await desk.read(visitor, size_bytes)
        with ExitStack() as stack:
            share = stack.enter_context(Share(desk.bodies))
            await share.reach(min(wanted, desk.bodies.most_bytes), whole=True)
            response = kind(await desk.read(visitor, read))
            return Held(response, stack.pop_all())


def as_json(kept: Kept) -> bytes:
    """Return an exchange as programs get it; bodies past a limit as null."""
    size_bytes = len(kept.request) + len(kept.answer)
    if size_bytes <= MOST_TOLD_BYTES:
        return write_json(showing.to_json(kept))
    told = showing.to_json(msgspec.structs.replace(kept, request=b"", answer=b""))
    return write_json({**told, "request": None, "answer": None, "assembled": None})


def content(which: Callable[[Kept], bytes]) -> Callable[[Kept], bytes]:
    """Return what gives a body of an exchange.

    Raises, when called: `NotFoundError` where the content is not kept.
    """

    def body(kept: Kept) -> bytes:
        if not kept.row.content_kept:
            raise NotFoundError(
                f"{kept.row.id} is kept without content.", code="content_not_kept"
            )
        return which(kept)

    return body
