"""One captured exchange, from its planned request to its committed end.

Asks the upstream, relays and tapes, seals, waits for the commit, lets the end go.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import httpx
from starlette.types import Send

from proxy import headers, inject
from proxy.answering import own_headers, send_error
from proxy.errors import NotStoredError, to_body
from proxy.front.turn import Turn
from proxy.hosts import Accepts
from proxy.judging import Outcome, attempts, judged
from proxy.mask import Masker
from proxy.meters import Meters
from proxy.patience import Patience
from proxy.relay import Relay
from proxy.repair import Attempt
from proxy.replay import Replayed, whole_body
from proxy.rules import Plan
from proxy.schemas.judge import Judge
from proxy.schemas.registry import Registry
from proxy.seal import INLINE_BYTES, Ending, is_short, measure, seal
from proxy.settings import Settings
from proxy.tape import Tape
from proxy.upstream.errors import UpstreamError, UpstreamTruncated
from proxy.upstream.reply import Reply
from proxy.upstream.request import Lines
from proxy.upstream.send import Upstream
from proxy.upstream.stream import AnswerStream
from storage.errors import StorageFailed
from storage.recorder import Recorder
from storage.records import Exchange, HeaderPairs, Reason, Usage

REFUSING = frozenset({400, 422})
"""Statuses with which upstreams refuse a member they do not know (wire 3.4)."""

MAX_REFUSAL_BYTES = 64 * 1024
"""An answer that refuses a member we added is a short one."""


class Clock(NamedTuple):
    """Where the time comes from.

    Units: `wall_us` microseconds since the epoch, `now_ns` monotonic nanoseconds.
    """

    wall_us: Callable[[], int] = lambda: time.time_ns() // 1000
    now_ns: Callable[[], int] = time.monotonic_ns


class Wiring(NamedTuple):
    """The long-lived things that every passage uses."""

    settings: Settings
    recorder: Recorder
    meters: Meters
    clock: Clock
    judge: Judge
    registry: Callable[[], Registry]
    masker: Masker | None = None


class Asked(NamedTuple):
    """What the client asked, as far as it goes on to the upstream.

    Shapes: `suffix` is the path after `/v1`, exactly as received, `query` what stood
    behind the `?`, None where there was none; `lines` are all but the length.
    """

    method: str
    suffix: bytes
    query: bytes | None
    lines: Lines

    def anew(self) -> "Asked":
        """Return it for another body: no server may take it for the same request."""
        return self._replace(lines=self.lines.without(b"idempotency-key"))


class Again(NamedTuple):
    """What to ask in the place of an exchange whose answer the client does not get."""

    body: bytes
    attempt: Attempt


class Passage:
    """The passage of one exchange through the proxy.

    `replan` gives the plan for an upstream that refuses what was first added.
    """

    def __init__(
        self,
        wiring: Wiring,
        tape: Tape,
        upstream: Upstream,
        replan: Callable[[Accepts], Plan],
    ) -> None:
        self._settings, self._recorder, self._meters = wiring[:3]
        self._judge, self._masker = wiring.judge, wiring.masker
        self._now_ns = wiring.clock.now_ns
        self._tape = tape
        self._upstream = upstream
        self._replan = replan
        self._flags: tuple[str, ...] = ()
        self._failure: UpstreamError | None = None
        self._asked_ns = self._answered_ns = tape.started_ns
        self._handed_over = False
        self._outcome: Outcome | None = None

    async def run(self, turn: Turn, send: Send, asked: Asked) -> Again | None:
        """Carry the exchange through; raises nothing but cancellation.

        Returns what to ask in its place, and then the client has got nothing yet.
        """
        relay = Relay(turn, send, self._tape, recorder=self._recorder)
        self._recorder.accept(self._tape.id)
        try:
            if len(self._tape.request) > INLINE_BYTES:
                await measure(self._tape)
            ending = await self._pass(relay, turn, asked)
            exchange = await self._sealed(ending, relay, turn)
            recorded = await self._keep(exchange)
            again = self._again(exchange, turn, recorded=recorded)
            if again is None:
                await self._end(relay, ending, send, recorded=recorded)
        except asyncio.CancelledError:  # told to stop: keep what there is
            ending = self._ending(clean=False, reason="proxy_shutdown")
            turn.cut()
            if not self._handed_over:
                exchange = seal(self._tape, ending, sse=relay.sse)
                await self._keep(await self._masked(exchange))
            raise
        finally:
            if not self._handed_over:  # a defect of ours: count it, and let it be seen
                self._recorder.drop(self._tape.id, "proxy_error")
        return again

    async def _pass(self, relay: Relay, turn: Turn, asked: Asked) -> Ending:
        """Ask and relay; return how that ended, the end of the answer still held."""
        reason: Reason | None = None
        patience = Patience(turn.task)
        turn.when_left = lambda: self._client_left(patience)
        try:
            reply = await self._ask(asked)
            try:
                await self._relay(relay, reply, patience)
            finally:
                await reply.stream.aclose()
        except UpstreamError as exc:
            self._failure = exc
            self._flags += (exc.code,)
            reason = reason_of(exc)
        except asyncio.CancelledError:
            if not patience.ran_out():
                raise
            if relay.terminal:
                self._flags += ("open_end",)
            else:
                reason = "client_aborted"
        finally:
            turn.when_left = None
            patience.end()
        return self._ending(
            clean=reason is None, reason=reason, terminal=relay.terminal
        )

    def _client_left(self, patience: Patience) -> None:
        self._flags += ("client_left",)
        patience.lasts(self._settings.finish_after_client_left_s)

    async def _ask(self, asked: Asked) -> Reply:
        """Send the request; once more without what the upstream says it refuses."""
        reply = await self._send(asked)
        if reply.status not in REFUSING or not (added := self._tape.plan.added):
            return reply
        self._tape.status = reply.status  # also where its body breaks off
        seen = await Replayed.reading(reply.stream, MAX_REFUSAL_BYTES)
        refused = inject.refusals(reply.status, seen.body, added)
        if not refused or not seen.whole:
            return reply._replace(stream=seen)
        await seen.aclose()
        self._flags += tuple(f"refused={member}" for member in sorted(refused))
        self._tape.plan = self._replan(self._upstream.accepts_without(refused))
        self._tape.open_exchange = None  # told of the plan that was refused
        await measure(self._tape)
        reply = await self._send(asked)
        if reply.status not in REFUSING:  # so the members were what it refused
            self._upstream.learn(refused)
        return reply

    async def _send(self, asked: Asked) -> Reply:
        plan = self._tape.plan
        self._asked_ns = self._now_ns()
        reply = await self._upstream.send(
            asked.method,
            asked.suffix,
            asked.query,
            lines=asked.lines,
            body=plan.body,
        )
        self._answered_ns = self._now_ns()
        return reply

    async def _relay(self, relay: Relay, reply: Reply, patience: Patience) -> None:
        tape, stream = self._tape, reply.stream
        tape.let_go_of_sent()
        tape.answered(reply.status, reply.headers)
        tape.recorded_headers = headers.recorded(tape.headers)
        content_type = tape.header(b"content-type").lower()
        relay.sse = content_type.startswith(b"text/event-stream")
        ours = stream if isinstance(stream, AnswerStream) else None
        if ours is not None and ours.framing == "close":
            self._flags += ("framing=close",)  # nothing but FIN says it is whole (H-23)
        whole = None if relay.sse else whole_body(stream)
        if whole is not None:
            relay.whole(whole, self._now_ns())
            return
        judging = tape.plan.judging
        if judging is not None and tape.status < 400 and judging.waits(sse=relay.sse):
            relay.hold(lambda: relay.head(tape.status, self._head(recorded=True)))
        else:
            await relay.head(tape.status, self._head(recorded=True))
        if relay.sse:
            await relay.events(
                stream, tape.endpoint, now_ns=self._now_ns, patience=patience
            )
            if ours is not None and ours.framing == "close" and not relay.terminal:
                raise UpstreamTruncated("the event stream ended without its last event")
        else:
            lookahead = b"json" in content_type or bool(tape.header(b"content-length"))
            await relay.body(stream, now_ns=self._now_ns, lookahead=lookahead)

    def _ending(
        self, *, clean: bool, reason: Reason | None, terminal: bool = False
    ) -> Ending:
        self._answered_ns = self._now_ns()  # until here it was the upstream's time
        failure, tape = self._failure, self._tape
        return Ending(
            clean=clean,
            terminal=terminal,
            reason=reason,
            at=tape.created_at + (self._answered_ns - tape.started_ns) // 1000,
            own_us=self._own_us(),
            error=None if failure is None else to_body(failure),
            flags=self._flags,
        )

    def _own_us(self) -> int:
        """Return what the proxy has added so far: before asking, and since answered."""
        waited_ns = self._answered_ns - self._asked_ns
        return (self._now_ns() - self._tape.started_ns - waited_ns) // 1000

    async def _sealed(self, ending: Ending, relay: Relay, turn: Turn) -> Exchange:
        if is_short(self._tape):
            exchange = seal(self._tape, ending, sse=relay.sse)
        else:
            exchange = await asyncio.to_thread(seal, self._tape, ending, sse=relay.sse)
        judging = self._tape.plan.judging
        if judging is not None:
            self._outcome = await judged(
                *(self._tape, exchange, judging),
                judge=self._judge,
                goes_on=not relay.head_sent and not turn.left,
                stays=not turn.half_closed,
            )
            exchange = self._outcome.exchange
        return exchange if self._masker is None else await self._masked(exchange)

    def _again(self, exchange: Exchange, turn: Turn, *, recorded: bool) -> Again | None:
        outcome, tape = self._outcome, self._tape
        if outcome is None or outcome.again is None:
            return None
        if turn.left or turn.half_closed:  # more is asked only of who surely waits
            return None
        if not recorded and self._settings.fails_closed:
            return None
        return Again(outcome.again, tape.attempt.next(tape.id, exchange.usage))

    async def _masked(self, exchange: Exchange) -> Exchange:
        """Return an exchange as it may be kept: until then it is in no other hands."""
        if self._masker is None:
            return exchange
        return await asyncio.to_thread(self._masker.exchange, exchange)

    async def _keep(self, exchange: Exchange) -> bool:
        """Wait until the exchange is committed; say whether it is (P2, P4)."""
        self._handed_over = True  # what is in the recorder's hands ends there, once
        self._meters.passed(exchange)
        most_s = self._settings.hold_timeout_s
        try:
            on_disk = await self._recorder.keep(exchange, most_s=most_s)
        except StorageFailed:
            return False
        return on_disk or self._settings.durability == "relaxed"

    async def _end(
        self, relay: Relay, ending: Ending, send: Send, *, recorded: bool
    ) -> None:
        """Let the end go to the client, or make sure it sees that there is none."""
        failure = self._failure
        if not recorded and self._settings.fails_closed:
            await self._withhold(relay, send)
            return
        if ending.reason is not None and not ending.terminal:
            if relay.head_sent or failure is None:
                await relay.cut(failure)
            else:
                await send_error(send, failure, self._own_headers(recorded=recorded))
            return
        outcome = self._outcome
        if outcome is not None and outcome.refusal is not None:
            ours = self._own_headers(recorded=recorded)
            await send_error(send, outcome.refusal, [*ours, *outcome.verdict])
            return
        if not relay.head_sent:
            head = self._head(recorded=recorded)
            await relay.head(self._tape.status, head, joined=True)
        await relay.release()

    async def _withhold(self, relay: Relay, send: Send) -> None:
        """Let nobody take for whole what is not stored (D8, `fail_closed`)."""
        error = NotStoredError(
            "the answer could not be recorded, so its end is withheld",
            code="recorder_storage_failed",
            contacted="yes",
        )
        if relay.head_sent:
            await relay.cut(error)
        else:
            await send_error(send, error, self._own_headers(recorded=False))

    def _head(self, *, recorded: bool) -> list[tuple[bytes, bytes]]:
        """Return the answer's headers for the client, ours behind them."""
        ours = self._own_headers(recorded=recorded)
        if self._outcome is not None:
            ours += self._outcome.verdict
        return headers.to_client(self._tape.headers, ours)

    def _own_headers(self, *, recorded: bool) -> list[tuple[bytes, bytes]]:
        told = self._told_early() if self._outcome is None else self._outcome.told
        own_us = self._own_us()
        return own_headers(self._tape.id, recorded=recorded, own_us=own_us, told=told)

    def _told_early(self) -> HeaderPairs:
        """Return what is known of the attempts before there is an outcome.

        What an answer costs that goes out before its end is not: it is left out then.
        """
        tape = self._tape
        if tape.plan.judging is None:
            return ()
        told = attempts(tape, tape.plan.judging, Usage())
        return told if tape.status >= httpx.codes.BAD_REQUEST else told[:1]


def reason_of(failure: UpstreamError) -> Reason:
    """Return why an exchange is incomplete after this failure of its upstream."""
    if failure.status_hint == httpx.codes.GATEWAY_TIMEOUT:
        return "timeout"
    if isinstance(failure, UpstreamTruncated):
        return "upstream_truncated"
    return "upstream_error"
