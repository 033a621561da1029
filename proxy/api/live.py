"""Tells of exchanges as they end, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.api import models
from proxy.api.asking import parameters
from proxy.api.desk import Desk
from proxy.api.filters import parsed
from proxy.api.who import Visitor
from proxy.commands import rows
from proxy.errors import BusyError, ClientError, SpiritsafeError, to_body
from proxy.front.turn import Turn
from proxy.refusals import refusal_of
from proxy.said import said
from proxy.stitch.values import write_json
from storage.assemble import Row
from storage.errors import StorageError
from storage.following import Mark, Place, Step, newest, resumed, step
from storage.queries.conditions import condition
from storage.queries.tree import Node
from storage.reading import Library

LOOK_EVERY_S = 0.25
"""How often it is asked whether anything was committed: a number in memory."""

SILENCE_S = 15.0
"""After so long without an event a comment is sent, so that nothing between cuts."""

MOST_AT_ONCE = 64

HEAD = [
    (b"content-type", b"text/event-stream"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]
COMMENT = b":\n\n"
AGAIN_MS = 1000


class Live:
    """`/api/exchanges/tail`: one stream of events for each who follows."""

    def __init__(self, desk: Desk, now_us: Callable[[], int]) -> None:
        self._desk = desk
        self._now_us = now_us
        self._following = 0

    async def tail(self, request: Request, visitor: Visitor) -> ASGIApp:
        """Return the stream, from now on or from the event that was seen last."""
        asked = parameters(request, models.TailQuery)
        node = parsed(asked.q)
        mark = last_seen(request)

        def start(library: Library, _: frozenset[str] | None) -> Place:
            return newest(library) if mark is None else resumed(library, mark)

        place = await self._desk.read(visitor, start)
        if self._following >= MOST_AT_ONCE:
            raise BusyError(f"{MOST_AT_ONCE} follow already: come again.")

        async def stream(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, receive
            self._following += 1
            try:
                await self._stream(request, send, self._events(visitor, node, place))
            finally:
                self._following -= 1

        return stream

    async def _stream(
        self, request: Request, send: Send, found: AsyncGenerator[bytes, None]
    ) -> None:
        turn: Turn = request.scope["extensions"]["spiritsafe"]
        turn.fin_is_leaving = True  # nothing follows that it could still want to send
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        try:
            async with aclosing(found) as events:
                async for data in events:
                    if turn.left:
                        return
                    await say(send, data)
        except (SpiritsafeError, StorageError) as exc:
            told = refusal_of(exc) if isinstance(exc, StorageError) else exc
            await say(send, b"event: error\ndata: %b\n\n" % to_body(told))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(
        self, visitor: Visitor, node: Node | None, place: Place
    ) -> AsyncGenerator[bytes, None]:
        """Give out what is to be sent, with an empty piece at each look at least.

        Raises: `SpiritsafeError` where the file cannot be read any more.
        """
        yield b"retry: %d\nid: %b\n\n" % (AGAIN_MS, self._id(place))
        desk, batches, silent_s = self._desk, -1, 0.0
        more = False
        while not desk.stopping():
            if not more and desk.recorder.batches == batches:
                silent_s += LOOK_EVERY_S
                quiet = silent_s < SILENCE_S
                yield b"" if quiet else COMMENT
                silent_s = silent_s if quiet else 0.0
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            batches = desk.recorder.batches
            found = await desk.read_aside(
                visitor, partial(look, node=node, place=place)
            )
            name = self._id(place)  # once: thousands may be open in a place
            for row in found.rows[:-1]:  # who leaves among them gets all again
                yield event(row, name)
            place, more = found.place, found.more
            for row in found.rows[-1:]:
                yield event(row, self._id(place))
                silent_s = 0.0
            await asyncio.sleep(0 if more else LOOK_EVERY_S)

    def _id(self, place: Place) -> bytes:
        return place.written(self._now_us()).encode("ascii")


def look(
    library: Library,
    projects: frozenset[str] | None,
    *,
    node: Node | None,
    place: Place,
) -> Step:
    """Return what of a filter has ended since a place."""
    with condition(library, node, projects=projects, read=said) as where:
        return step(library, place, condition=where)


def last_seen(request: Request) -> Mark | None:
    """Return where a client left off that comes again.

    Raises: `ClientError` where `Last-Event-ID` is no id of an event.
    """
    text = request.headers.get("last-event-id", "")
    if not text:
        return None
    try:
        return Mark.read(text)
    except ValueError as exc:
        name = "last-event-id"
        raise ClientError(f"{name}: {exc}.", code="invalid_value", param=name) from None


def event(row: Row, name: bytes) -> bytes:
    """Return one exchange as an event; JSON holds no line feed."""
    data = write_json(rows.as_json(row))
    return b"event: exchange\nid: %b\ndata: %b\n\n" % (name, data)


async def say(send: Send, data: bytes) -> None:
    """Send some of the stream."""
    if data:
        await send({"type": "http.response.body", "body": data, "more_body": True})
