"""The way in of captured requests: read, plan, and send each on its passage.

What is only read, to see whose response it goes on from, passes unrecorded.

It puts the units in order and decides nothing about bodies or headers itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec
from starlette.types import Receive, Scope, Send

from proxy import redact, rules
from proxy.answering import send_error
from proxy.bodies import read_body, too_large
from proxy.budget import Budgets, Share
from proxy.errors import SpiritsafeError, not_stored
from proxy.front.turn import ClientGone, Turn
from proxy.head import Head, Heads
from proxy.hosts import Accepts
from proxy.passage import Again, Asked, Passage, Wiring
from proxy.repair import FIRST, Attempt
from proxy.schemas.applying import Judging
from proxy.seal import opened
from proxy.tape import Tape
from proxy.targets import Route
from proxy.through import Through, declared_length
from proxy.upstream.send import Upstream

SAVE_EVERY_S = 1.0
"""What runs longer than this is saved with what it has so far (design 3.6)."""

SAVED_AT_ONCE = 50
"""Tapes saved between two turns of the loop: a millisecond's work.

In one go 5 000 streams held up every event for 0.15 s, once a second (2026-11-21).
"""


class Known(NamedTuple):
    """What follows from the head of a request, whatever its body.

    Shapes: `target` is what is recorded of it, without keys.
    """

    head: Head
    asked: Asked
    target: str


class Forward:
    """Takes in captured requests, and knows all that are under way."""

    def __init__(
        self,
        wiring: Wiring,
        upstreams: Mapping[str, Upstream],
        through: Through,
        *,
        budgets: Budgets,
        secret: bytes,
        refuse_foreign: Callable[..., Awaitable[None]],
        new_id: Callable[[], str],
    ) -> None:
        self._budgets = budgets
        self._wiring = wiring
        self._upstreams = upstreams
        self._through = through
        self._heads = {name: Heads(it, secret) for name, it in upstreams.items()}
        self._refuse_foreign = refuse_foreign
        self._new_id = new_id
        self._under_way: dict[str, Tape] = {}

    def __call__(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> Awaitable[None]:
        """Serve one request; raises nothing but cancellation."""
        if scope["extensions"]["spiritsafe"].more_body:
            return self._serve_sharing(scope, receive, send, route)
        return self._serve(scope, receive, send, route)  # it is here, in one read

    async def _serve_sharing(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        with Share(self._budgets.requests) as share:
            await self._serve(scope, receive, send, route, share=share)

    async def _body(
        self, scope: Scope, receive: Receive, turn: Turn, share: Share | None
    ) -> bytes:
        """Read the body, having room for all of it where its length is known.

        Raises: what `read_body` raises.
        """
        most_bytes = self._wiring.settings.max_request_bytes
        if share is not None:
            length = declared_length(scope) or 0
            if length > most_bytes:
                raise too_large(most_bytes)
            await share.reach(length, whole=True)
        return await read_body(receive, turn, most_bytes, share=share)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        route: Route,
        *,
        share: Share | None = None,
    ) -> None:
        turn: Turn = scope["extensions"]["spiritsafe"]
        settings = self._wiring.settings
        turn.fin_is_leaving = not settings.finish_after_client_left_s
        upstream = self._upstreams[route.upstream]
        try:
            body = turn.take()
            if body is None:
                body = await self._body(scope, receive, turn, share)
            elif len(body) > settings.max_request_bytes:
                raise too_large(settings.max_request_bytes)
            head, asked, target = self._known(scope, turn, route)
            plan = partial(self._plan, route, head, body)
            first = plan(upstream.accepts)
            self._refuse_unstored(first, route)
            if upstream.authorization is not None:
                await self._refuse_foreigners(first, head, route)
        except ClientGone:
            return
        except SpiritsafeError as exc:
            await send_error(send, exc)
            return
        if not first.record or route.kind != "captured":
            await self._through.whole(scope, send, route, body)
            return
        tape = self._tape(target, upstream, route, head=head, request=body, plan=first)
        judging = first.judging
        del first  # the tape's alone: what is sent may be large
        again = await self._carry(tape, upstream, turn, send, plan=plan, asked=asked)
        while again is not None:  # the answer before is not to be had as it was
            plan = partial(self._plan, route, head, again.body, judging=judging)
            tape = self._tape(
                *(target, upstream, route),
                head=head,
                request=again.body,
                plan=plan(upstream.accepts),
                attempt=again.attempt,
            )
            asked = asked.anew()
            again = await self._carry(
                tape, upstream, turn, send, plan=plan, asked=asked
            )

    async def _carry(
        self,
        tape: Tape,
        upstream: Upstream,
        turn: Turn,
        send: Send,
        *,
        plan: Callable[[Accepts], rules.Plan],
        asked: Asked,
    ) -> Again | None:
        passage = Passage(self._wiring, tape, upstream, plan)
        self._under_way[tape.id] = tape
        try:
            return await passage.run(turn, send, asked)
        finally:
            del self._under_way[tape.id]
            tape.let_go()

    def _plan(
        self,
        route: Route,
        head: Head,
        body: bytes,
        accepts: Accepts,
        *,
        judging: Judging | None = None,
    ) -> rules.Plan:
        """Plan a request; one that asks again is `judging` as the one before."""
        made = rules.plan(
            route,
            head.control,
            body,
            upstream=self._upstreams[route.upstream].settings,
            settings=self._wiring.settings,
            accepts=accepts,
            registry=self._wiring.registry(),
        )
        if judging is not None:
            made = msgspec.structs.replace(made, judging=judging)
        return rules.guarded(made, body, head.key)

    def _known(self, scope: Scope, turn: Turn, route: Route) -> Known:
        """Return what follows from the head of a request, read once if it repeats.

        Raises: `ControlError` where an `x-spiritsafe-…` header cannot be obeyed.
        """
        known: Known | None = turn.notes.get(self)
        if known is None:
            heads = self._heads[route.upstream]
            head = heads.read(scope["headers"], scope["query_string"])
            asked = Asked(scope["method"], route.suffix, turn.query, head.onward)
            target = redact.target(scope["raw_path"], turn.query)
            known = turn.notes[self] = Known(head, asked, target)
        return known

    def _refuse_unstored(self, plan: rules.Plan, route: Route) -> None:
        """Raise `NotStoredError` where the operator wants it kept or not asked."""
        settings, recorder = self._wiring.settings, self._wiring.recorder
        recorded = plan.record and route.kind == "captured"
        if recorded and settings.fails_closed and not recorder.stores:
            raise not_stored(low=recorder.low)

    async def _refuse_foreigners(
        self, plan: rules.Plan, head: Head, route: Route
    ) -> None:
        """Raise `ValueRefused` where a request goes on from another caller's answer.

        Our own key would open it.
        """
        conversation, before = plan.conversation, plan.previous_response_id
        if conversation:
            await self._refuse_foreign(
                head.project, route, conversation, "conversation"
            )
        if before:
            await self._refuse_foreign(head.project, route, before)

    def _tape(
        self,
        target: str,
        upstream: Upstream,
        route: Route,
        *,
        head: Head,
        request: bytes,
        plan: rules.Plan,
        attempt: Attempt = FIRST,
    ) -> Tape:
        return Tape(
            id=self._new_id(),
            key=head.key,
            plan=plan,
            endpoint=route.endpoint or "chat",
            project=head.project,
            upstream=upstream.name,
            target=target,
            request=request,
            request_headers=head.recorded,
            created_at=self._wiring.clock.wall_us(),
            started_ns=self._wiring.clock.now_ns(),
            max_kept_bytes=self._wiring.settings.max_kept_answer_bytes,
            room=self._budgets.answers,
            attempt=attempt,
        )

    async def save_long_ones(self) -> None:
        """Save, once a second, what runs longer than that; never returns."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self._wiring.recorder.room()
            now_ns = self._wiring.clock.now_ns()
            for count, tape in enumerate(list(self._under_way.values()), 1):
                if count % SAVED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                long = now_ns - tape.started_ns >= SAVE_EVERY_S * 1e9
                if long and tape.id in self._under_way:
                    await self._save(tape)

    async def _save(self, tape: Tape) -> None:
        """Note what came on a tape; where it is masked, only that it is under way.

        Masked in a thread, and again only where what is told of it is another.
        """
        masker = self._wiring.masker
        before = tape.open_exchange
        progress = tape.unsaved(opened)
        if masker is not None and progress is not None:
            if progress.exchange is before:
                return
            progress = await asyncio.to_thread(masker.progress, progress)
        if progress is not None and not tape.sealed:
            self._wiring.recorder.note(progress)
