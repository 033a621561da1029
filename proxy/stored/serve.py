"""The way in of the stored API: who asks, for what, and the answer to it.

Completions are always answered here, for every upstream. Responses are the upstream's
where it keeps them; where the proxy's own key would open those of all callers, each
gets to see its own.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from proxy.answering import send_error
from proxy.bodies import read_body
from proxy.callers import Callers
from proxy.dispatch import Serve
from proxy.errors import MethodError, NotFoundError, SpiritsafeError, TooLargeError
from proxy.front.turn import ClientGone, Turn
from proxy.headers import credential
from proxy.refusals import refusal_of
from proxy.stitch.values import write_json
from proxy.stored import completions, responses
from proxy.stored.parameters import (
    read_listing,
    read_metadata,
    read_paging,
    read_path,
    refuse_all,
)
from proxy.stored.second import Second
from proxy.targets import Route
from proxy.upstream.send import Upstream
from storage.access import projects_of
from storage.assemble import Kept
from storage.changes import remove, replace_tags
from storage.errors import StorageError
from storage.queries.named import Shelf, owns
from storage.readers import Readers
from storage.reading import Library
from storage.recorder import Recorder
from storage.records import Json

MOST_BODY_BYTES = 2 * 1024 * 1024
"""Of an update, whose metadata needs a twentieth of it."""

READ_TIMEOUT_S = 10.0
"""Of one read: a page of a hundred long conversations takes about one."""

READING = frozenset({"GET", "HEAD"})

T = TypeVar("T")


class Stored:
    """Serves what was recorded as the API of its upstream does."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        callers: Callers,
        readers: Readers,
        recorder: Recorder,
        through: Serve,
    ) -> None:
        self._upstreams = upstreams
        self._callers = callers
        self._readers = readers
        self._recorder = recorder
        self._through = through

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Serve one request; raises nothing but cancellation."""
        ours = [(b"x-request-id", b"req_" + secrets.token_hex(16).encode("ascii"))]
        try:
            if route.endpoint == "responses":
                answer = await self._response(scope, receive, send, route)
            else:
                answer = await self._completion(scope, receive, route)
        except ClientGone:
            return
        except SpiritsafeError as exc:
            await send_error(send, exc, ours)
            return
        if answer is not None:
            await _send_json(send, answer, ours)

    async def _completion(self, scope: Scope, receive: Receive, route: Route) -> Json:
        """Return the answer to one call; all the rest is refused."""
        caller = self._caller(scope, route)
        turn: Turn = scope["extensions"]["spiritsafe"]
        query, method = turn.query, scope["method"]
        path = read_path(route.below)
        match "GET" if method in READING else method, path:
            case "GET", []:
                asked = read_listing(query)
                read = partial(completions.listed, asked=asked)
                return await self._read(caller, route, read)
            case "GET", [name]:
                refuse_all(query)
                return await self._retrieve(caller, route, name)
            case "GET", [name, "messages"]:
                paging = read_paging(query, order="asc")
                read = partial(completions.messages, name=name, paging=paging)
                return await self._read(caller, route, read)
            case "POST", [name]:
                refuse_all(query)
                metadata = read_metadata(await _body(receive, turn))
                kept = await self._find(caller, route, name)
                change = partial(replace_tags, seq=kept.row.seq, new=metadata)
                await self._change(change)
                return await self._retrieve(caller, route, name)
            case "DELETE", [name]:
                refuse_all(query)
                await self._remove(await self._find(caller, route, name))
                told = {"object": "chat.completion.deleted", "id": name}
                return {**told, "deleted": True}
            case _, [] | [_] | [_, "messages"]:
                raise MethodError(f"{method} is not served at this path.")
        raise NotFoundError("Nothing is served at this path.")

    async def _response(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> Json | None:
        """Return the answer to one call; None where the upstream gave it."""
        upstream = self._upstreams[route.upstream]
        if upstream.authorization is not None:
            await self._refuse_others(scope, route)
        first, *more = route.below.split(b"/")[1:]
        ours = (not more and scope["method"] in {*READING, "DELETE"}) or (
            more == [b"input_items"] and scope["method"] in READING
        )
        if upstream.reads_back or not ours:
            await self._through(scope, receive, send, route)
            return None
        second = Second(send, first)
        await self._through(scope, receive, second, route)
        if second.passed:
            return None
        try:
            return await self._own_response(scope, route)
        except NotFoundError:
            await second.release()
            return None

    async def _own_response(self, scope: Scope, route: Route) -> Json:
        caller = self._caller(scope, route)
        turn: Turn = scope["extensions"]["spiritsafe"]
        name, *more = read_path(route.below)
        if scope["method"] == "DELETE":
            kept = await self._read(caller, route, partial(responses.found, name=name))
            await self._remove(kept)
            return {"id": name, "object": "response", "deleted": True}
        answer = responses.input_items if more else responses.retrieved
        read = partial(answer, name=name, query=turn.query)
        return await self._read(caller, route, read)

    async def _refuse_others(self, scope: Scope, route: Route) -> None:
        """Raise where a response is not of the caller's, and our key would open it."""
        caller = self._caller(scope, route)
        name = read_path(route.below)[0]
        if not await self._read(
            caller, route, lambda library, shelf: owns(library.connection, name, shelf)
        ):
            raise responses.no_response(name)

    def _caller(self, scope: Scope, route: Route) -> str:
        """Return the fingerprint of who asks. Raises: `WhoError`."""
        key = credential(scope["headers"], scope["query_string"])
        held = self._upstreams[route.upstream].authorization is not None
        return self._callers.reader(key, held=held)

    async def _retrieve(self, caller: str, route: Route, name: str) -> Json:
        return await self._read(
            caller, route, partial(completions.retrieved, name=name)
        )

    async def _find(self, caller: str, route: Route, name: str) -> Kept:
        """Return what an id names for its caller. Raises: `NotFoundError`."""
        return await self._read(caller, route, partial(completions.found, name=name))

    async def _read(
        self, caller: str, route: Route, function: Callable[[Library, Shelf], T]
    ) -> T:
        """Return what a function reads of what the caller may see.

        Raises: `SpiritsafeError`.
        """

        def read(library: Library) -> T:
            projects = projects_of(library.connection, caller)
            shelf = Shelf(route.endpoint or "chat", route.upstream, projects)
            return function(library, shelf)

        try:
            return await self._readers.run(read, timeout_s=READ_TIMEOUT_S)
        except StorageError as exc:
            raise refusal_of(exc) from exc

    async def _remove(self, kept: Kept) -> None:
        """Remove an exchange, and its content from the log as well.

        Raises: `SpiritsafeError`.
        """
        await self._change(partial(remove, seqs=[kept.row.seq]))
        await self._recorder.cut_log()

    async def _change(self, function: Callable[..., object]) -> None:
        """Change what is kept in the writer's thread; on disk when this returns.

        Raises: `SpiritsafeError`.
        """
        try:
            await self._recorder.change(function)
        except StorageError as exc:
            raise refusal_of(exc) from exc


async def _body(receive: Receive, turn: Turn) -> bytes:
    try:
        return await read_body(receive, turn, MOST_BODY_BYTES)
    except TooLargeError:
        raise TooLargeError(
            f"The body is larger than the {MOST_BODY_BYTES} bytes that are read here."
        ) from None


async def _send_json(send: Send, value: Json, extra: list[tuple[bytes, bytes]]) -> None:
    body = write_json(value)
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *extra,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})
