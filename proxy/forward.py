"""The way in of captured requests: read, plan, and send each on its passage.

It puts the units in order and decides nothing about bodies or headers itself.
"""

import asyncio
from collections.abc import Callable, Mapping

from starlette.types import Receive, Scope, Send

from proxy import headers, redact, rules
from proxy.answering import send_error
from proxy.bodies import read_body
from proxy.callers import project_of
from proxy.errors import SpiritsafeError
from proxy.front.turn import ClientGone, Turn
from proxy.hosts import Accepts
from proxy.passage import Asked, Passage, Wiring
from proxy.seal import opened
from proxy.tape import Tape
from proxy.targets import Route
from proxy.through import Through
from proxy.upstream.send import Upstream

SAVE_EVERY_S = 1.0
"""What runs longer than this is saved with what it has so far (design 3.6)."""

SAVED_AT_ONCE = 50
"""Tapes saved between two turns of the loop: a millisecond's work.

In one go 5 000 streams held up every event for 0.15 s, once a second (2026-11-21).
"""


class Forward:
    """Takes in captured requests, and knows all that are under way."""

    def __init__(
        self,
        wiring: Wiring,
        upstreams: Mapping[str, Upstream],
        through: Through,
        *,
        secret: bytes,
        new_id: Callable[[], str],
    ) -> None:
        self._wiring = wiring
        self._upstreams = upstreams
        self._through = through
        self._secret = secret
        self._new_id = new_id
        self._under_way: dict[str, Tape] = {}

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, route: Route
    ) -> None:
        """Serve one request; raises nothing but cancellation."""
        turn: Turn = scope["extensions"]["spiritsafe"]
        settings = self._wiring.settings
        turn.fin_is_leaving = not settings.finish_after_client_left_s
        upstream = self._upstreams[route.upstream]

        def plan(accepts: Accepts) -> rules.Plan:
            made = rules.plan(
                route,
                scope["headers"],
                body,
                upstream=upstream.settings,
                settings=settings,
                accepts=accepts,
            )
            return rules.guarded(made, body, key)

        key = headers.credential(scope["headers"], scope["query_string"])
        try:
            body = await read_body(
                receive,
                settings.max_request_bytes,
                # A body that is here already needs no timer.
                idle_s=settings.body_timeout_s if turn.more_body else None,
            )
            first = plan(upstream.accepts)
        except ClientGone:
            return
        except SpiritsafeError as exc:
            await send_error(send, exc)
            return
        if not first.record:
            await self._through.whole(scope, send, route, body)
            return
        tape = self._tape(
            scope, turn, upstream, route, key=key, request=body, plan=first
        )
        asked = Asked(scope["method"], route.suffix, turn.query, scope["headers"])
        self._under_way[tape.id] = tape
        try:
            await Passage(self._wiring, tape, upstream, plan).run(turn, send, asked)
        finally:
            del self._under_way[tape.id]

    def _tape(
        self,
        scope: Scope,
        turn: Turn,
        upstream: Upstream,
        route: Route,
        *,
        key: bytes | None,
        request: bytes,
        plan: rules.Plan,
    ) -> Tape:
        return Tape(
            id=self._new_id(),
            key=key,
            plan=plan,
            endpoint=route.endpoint or "chat",
            project=project_of(key, self._secret),
            upstream=upstream.name,
            target=redact.target(scope["raw_path"], turn.query),
            request=request,
            request_headers=headers.recorded(scope["headers"]),
            created_at=self._wiring.clock.wall_us(),
            started_ns=self._wiring.clock.now_ns(),
            max_kept_bytes=self._wiring.settings.max_kept_answer_bytes,
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
                    progress = tape.unsaved(opened)
                    if progress is not None:
                        self._wiring.recorder.note(progress)
