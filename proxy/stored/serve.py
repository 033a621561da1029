"""The way in of the stored API: who asks, for what, and the answer to it.

Completions are always answered here, for every upstream. Responses are the upstream's
where it keeps them; where the proxy's own key would open those of all callers, each
gets to see its own.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from proxy.answering import send_error
from proxy.bodies import read_body
from proxy.callers import Callers
from proxy.dispatch import Serve
from proxy.errors import (
    BusyError,
    MethodError,
    NotFoundError,
    SpiritsafeError,
    TooLargeError,
    ValueRefused,
)
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
from proxy.stored.places import Ended, Places
from proxy.stored.second import Second
from proxy.targets import Route, conversation_in
from proxy.upstream.send import Upstream
from storage.access import projects_of
from storage.changes import remove, replace_tags
from storage.errors import StorageError
from storage.queries.named import Shelf, all_of, is_foreign, name_of, owns
from storage.readers import Readers
from storage.reading import Library
from storage.recorder import Recorder
from storage.records import Json

MOST_BODY_BYTES = 2 * 1024 * 1024
"""Of an update, whose metadata needs a twentieth of it."""

READ_TIMEOUT_S = 10.0
"""Of one read: a page of a hundred long conversations takes about one."""

CHECK_TIMEOUT_S = 2.0
"""Of a look at whose response a captured request goes on from, with the wait for it."""

ID = "{id}"

T = TypeVar("T")


class Call(NamedTuple):
    """One call: who asks, where, and of which exchange.

    Shapes: `caller` is the fingerprint of a key; `name` is empty for a list.
    """

    caller: str
    route: Route
    name: str
    receive: Receive
    turn: Turn


class Stored:
    """Serves what was recorded as the API of its upstream does."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        *,
        callers: Callers,
        readers: Readers,
        checks: Readers,
        recorder: Recorder,
        mask_tags: Callable[[Mapping[str, str]], dict[str, str]],
        through: Serve,
    ) -> None:
        self._upstreams = upstreams
        self._callers = callers
        self._readers = readers
        self._checks = checks
        self._recorder = recorder
        self._mask_tags = mask_tags
        self._through = through
        self._places = Places()

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Serve one request; raises nothing but cancellation."""
        ours = [(b"x-request-id", b"req_" + secrets.token_hex(16).encode("ascii"))]
        try:
            if route.kind == "relay":
                await self._conversation(scope, receive, send, route)
                return
            if route.endpoint == "responses":
                answer = await self._response(scope, receive, send, route)
            else:
                answer = await self._ours(scope, receive, route, COMPLETIONS)
        except ClientGone:
            return
        except SpiritsafeError as exc:
            await send_error(send, exc, ours)
            return
        if answer is not None:
            await _send_json(send, answer, ours)

    async def _ours(
        self, scope: Scope, receive: Receive, route: Route, calls: "Calls"
    ) -> Json:
        """Return the answer to a call; raises where it is none of these."""
        key = credential(scope["headers"], scope["query_string"])
        held = self._upstreams[route.upstream].authorization is not None
        caller = self._callers.reader(key, held=held)
        name, *more = read_path(route.below) or [""]
        place = "/".join(["", ID, *more] if name else more)
        answer = calls.get((method_of(scope), place))
        if answer is None and place in {at for _, at in calls}:
            raise MethodError(f"{scope['method']} is not served at this path.")
        if answer is None:
            raise NotFoundError("Nothing is served at this path.")
        turn: Turn = scope["extensions"]["spiritsafe"]
        return await answer(self, Call(caller, route, name, receive, turn))

    async def list_completions(self, call: Call) -> Json:
        """Return a page of them."""
        asked = read_listing(call.turn.query)
        at = partial(Ended, call.caller, call.route.upstream)
        ended = self._places.seq(at(asked.paging.after or ""))
        read = partial(completions.listed, asked=asked, ended=ended)
        answer, last = await self._read(call, read)
        if last is not None:
            self._places.keep(at(name_of(last)), last.seq)
        return answer

    async def retrieve_completion(self, call: Call) -> Json:
        """Return one."""
        refuse_all(call.turn.query)
        return await self._read(call, partial(completions.retrieved, name=call.name))

    async def list_messages(self, call: Call) -> Json:
        """Return what one was asked with."""
        paging = read_paging(call.turn.query, order="asc")
        read = partial(completions.messages, name=call.name, paging=paging)
        return await self._read(call, read)

    async def update_completion(self, call: Call) -> Json:
        """Replace the metadata of one, and return it."""
        refuse_all(call.turn.query)
        metadata = self._mask_tags(read_metadata(await _body(call)))
        kept = await self._read(call, partial(completions.found, name=call.name))
        await self._change(partial(replace_tags, seq=kept.row.seq, new=metadata))
        return await self.retrieve_completion(call)

    async def delete_completion(self, call: Call) -> Json:
        """Remove one."""
        refuse_all(call.turn.query)
        await self._read(call, partial(completions.found, name=call.name))
        await self._remove(call)
        told = {"object": "chat.completion.deleted", "id": call.name}
        return {**told, "deleted": True}

    async def retrieve_response(self, call: Call) -> Json:
        """Return one."""
        read = partial(responses.retrieved, name=call.name, query=call.turn.query)
        return await self._read(call, read)

    async def list_input(self, call: Call) -> Json:
        """Return what one was asked with."""
        read = partial(responses.input_items, name=call.name, query=call.turn.query)
        return await self._read(call, read)

    async def delete_response(self, call: Call) -> Json:
        """Remove one."""
        await self._read(call, partial(responses.found, name=call.name))
        await self._remove(call)
        return {"id": call.name, "object": "response", "deleted": True}

    async def own_response(self, call: Call) -> Json:
        """Raise `NotFoundError` where a response is not of the caller's."""

        def owned(library: Library, shelf: Shelf) -> bool:
            return owns(library.connection, call.name, shelf)

        if not await self._read(call, owned):
            raise responses.no_response(call.name)
        return None

    async def refuse_foreign(
        self,
        caller: str,
        route: Route,
        name: str,
        member: Literal[
            "previous_response_id", "conversation"
        ] = "previous_response_id",
    ) -> None:
        """Let go on from a response, unless another project recorded it.

        Shapes: `caller` is a fingerprint; `member` is what names it in a request, as
        `conversation` one that no other went on with. What nobody recorded passes: it
        may be older than the file, and ids cannot be guessed. It has readers of its
        own, as traffic waits for nobody who reads.
        Raises: `ValueRefused` in the words of the API; `BusyError` where it cannot be
        told, as one project's answers matter more than another's request.
        """

        def foreign(library: Library) -> bool:
            projects = projects_of(library.connection, caller)
            shelf = Shelf("responses", route.upstream, projects)
            return is_foreign(
                library.connection, name, shelf, conversation=member == "conversation"
            )

        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                found = await self._checks.run(foreign, timeout_s=CHECK_TIMEOUT_S)
        except (StorageError, TimeoutError) as exc:
            raise BusyError(
                f"Whose '{name}' is cannot be told now: come again, or send the whole "
                f"input without {member}."
            ) from exc
        if found:
            what = "Conversation"
            if member == "previous_response_id":
                what = "Previous response"
            raise ValueRefused(
                f"{what} with id '{name}' not found.",
                param=member,
                code=f"{what.lower().replace(' ', '_')}_not_found",
            )

    async def _conversation(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Relay a request that names a conversation which our key opens."""
        name = conversation_in(route.suffix)
        key = credential(scope["headers"], scope["query_string"])
        caller = self._callers.admit(key, held=True)
        await self.refuse_foreign(caller, route, name, "conversation")
        await self._through(scope, receive, send, route)

    async def _response(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> Json | None:
        """Return the answer to one call; None where the upstream gave it."""
        upstream = self._upstreams[route.upstream]
        first, *more = route.below.split(b"/")[1:]
        if upstream.authorization is not None:  # which opens those of all callers
            of_it = route.below[: len(first) + 1]
            whose = msgspec.structs.replace(route, below=of_it)
            await self._ours(
                scope,
                receive,
                whose,
                {(method_of(scope), f"/{ID}"): Stored.own_response},
            )
        place = "/".join(["", ID, *(part.decode("ascii") for part in more)])
        if upstream.reads_back or (method_of(scope), place) not in RESPONSES:
            await self._through(scope, receive, send, route)
            return None
        second = Second(send, first)
        await self._through(scope, receive, second, route)
        if second.passed:
            return None
        try:
            return await self._ours(scope, receive, route, RESPONSES)
        except NotFoundError:
            await second.release()
            return None

    async def _read(self, call: Call, function: Callable[[Library, Shelf], T]) -> T:
        """Return what a function reads of what the caller may see.

        Raises: `SpiritsafeError`.
        """
        route = call.route

        def read(library: Library) -> T:
            projects = projects_of(library.connection, call.caller)
            shelf = Shelf(route.endpoint or "chat", route.upstream, projects)
            return function(library, shelf)

        return await self._run(read)

    async def _run(self, function: Callable[[Library], T]) -> T:
        try:
            return await self._readers.run(function, timeout_s=READ_TIMEOUT_S)
        except StorageError as exc:
            raise refusal_of(exc) from exc

    async def _remove(self, call: Call) -> None:
        """Remove all of a name: an older one would else come up in its place.

        Whoever keeps house then wipes what is left of it.
        Raises: `SpiritsafeError`.
        """

        def every(library: Library, shelf: Shelf) -> list[int]:
            return all_of(library.connection, call.name, shelf)

        seqs = await self._read(call, every)
        await self._change(partial(remove, seqs=seqs))

    async def _change(self, function: Callable[..., object]) -> None:
        """Change what is kept in the writer's thread; on disk when this returns.

        Raises: `SpiritsafeError`.
        """
        try:
            await self._recorder.change(function)
        except StorageError as exc:
            raise refusal_of(exc) from exc


Calls: TypeAlias = Mapping[tuple[str, str], Callable[[Stored, Call], Awaitable[Json]]]

COMPLETIONS: Final[Calls] = {
    ("GET", ""): Stored.list_completions,
    ("GET", f"/{ID}"): Stored.retrieve_completion,
    ("POST", f"/{ID}"): Stored.update_completion,
    ("DELETE", f"/{ID}"): Stored.delete_completion,
    ("GET", f"/{ID}/messages"): Stored.list_messages,
}
"""All that is served at and below `/chat/completions`, by method and path."""

RESPONSES: Final[Calls] = {
    ("GET", f"/{ID}"): Stored.retrieve_response,
    ("DELETE", f"/{ID}"): Stored.delete_response,
    ("GET", f"/{ID}/input_items"): Stored.list_input,
}
"""What is served below `/responses`, where the upstream serves nothing there."""


def method_of(scope: Scope) -> str:
    """Return the method, of which HEAD is GET without a body."""
    method: str = scope["method"]
    return "GET" if method == "HEAD" else method


async def _body(call: Call) -> bytes:
    try:
        return await read_body(call.receive, call.turn, MOST_BODY_BYTES)
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
