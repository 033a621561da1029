"""One client connection: uvicorn's httptools protocol, with turns of our own.

It builds the ASGI scope from the request line as it was sent, tells a turn when its
client leaves, and keeps going when the client only closes its sending half.
"""

from collections import deque
from typing import Any, cast

import httptools
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.errors import (
    ClientError,
    HeadTimeoutError,
    HeadTooLargeError,
    LongTargetError,
    VersionError,
    answer,
)
from proxy.front.framing import CODING, FRAMING, LENGTH, MALFORMED, check
from proxy.front.pace import Pace, Progress
from proxy.front.repeat import Repeat
from proxy.front.turn import Turn, answer_head

MAX_HEAD_BYTES = 64 * 1024
"""Of one request head, which is what Python's `http.server` allows for one line."""

MAX_FIELDS = 100
"""Header fields of one request, as Apache's `LimitRequestFields` and gunicorn."""

MAX_TARGET_BYTES = 16 * 1024
"""Of a request target; RFC 9110 §4.1 asks for 8000 octets at least."""

MAX_FRAMING_BYTES = 64 * 1024
"""Of chunk sizes, extensions and trailers, beside 16 bytes for each byte of a body: a
body in chunks of one byte takes 5 (H-66), an endless extension is cut off (F-54)."""

MOST_AHEAD = 64
"""Requests that wait for the one before: with more of them nothing is read (S-50)."""

LINGER_S = 5.0
"""A refused client may go on sending this long, as nginx's `lingering_timeout`."""

LINGER_BYTES = 256 * 1024 * 1024
"""And this much: closing at once would reset the connection, and the client would lose
the answer to what it still sends (RFC 9112 §9.6)."""


class Connection(HttpToolsProtocol):
    """What uvicorn makes for each connection it accepts."""

    cycle: Turn

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ahead: deque[Turn] = deque()  # of `cycle`, one for each in `pipeline`
        self._in_head = True
        self._begun = False  # a request: its end has not come
        self._head_ended = False  # in the read at hand
        self._head_bytes = 0  # read of a head that has not ended
        self._coded = False  # the head has a transfer coding
        self._length_name: bytes | None = None  # as the head spells it
        self._upgrades = False  # to what is not HTTP any more
        self._known: Repeat | None = None
        self._body_bytes = 0  # of the request at hand, and what was read for it
        self._read_bytes = 0
        self._deaf = False  # nothing more is parsed: it was refused, or is left over
        self._discarded_bytes = 0
        self.progress = Progress()

    def data_received(self, data: bytes) -> None:
        """Parse what came, but of a head nothing beyond its limit (H-41).

        A head that begins behind another request is counted from the next read on.
        """
        if self._deaf:
            self._discard(len(data))
            return
        at_start = not (self._begun or self._head_bytes)
        if at_start and self._serve_again(data):
            return
        if self._in_head:
            room = MAX_HEAD_BYTES - self._head_bytes
            self._head_bytes += len(data)
            if len(data) > room:
                self._parse(data[:room])
                if self._head_bytes:  # no head has ended yet
                    self._refuse(
                        HeadTooLargeError(
                            f"The request head is larger than {MAX_HEAD_BYTES} bytes: "
                            "send fewer or shorter headers."
                        )
                    )
                    return
                data = data[room:]
        self._head_ended = False
        self._parse(data)
        if not (self._in_head or self._head_ended):  # a body goes on, all through
            self._read_bytes += len(data)
            if self._read_bytes > MAX_FRAMING_BYTES + 16 * self._body_bytes:
                self._refuse(MALFORMED)
        elif at_start:
            self._remember(data)

    def _serve_again(self, data: bytes) -> bool:
        """Serve what is one whole request with a head that is known; say whether."""
        known = self._known
        body = None if known is None else known.body(data)
        if known is None or body is None:
            return False
        scope = known.scope_for(len(body))
        turn = Turn(scope, known.notes, self, keep_alive=True)
        turn.query = known.query
        turn.take_in(body)
        turn.more_body = False
        self._serve(turn)
        return True

    def _remember(self, data: bytes) -> None:
        """Keep the head of a request that came whole, and may come again."""
        turn, name = self.cycle, self._length_name
        if self._begun or self._head_bytes or self._deaf or self._upgrades:
            return
        if name and turn.keep_alive and not turn.waiting_for_100_continue:
            self._known = Repeat.of(data, name, turn) or self._known

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError as exc:
                cause = exc.__context__  # what a callback of ours raised
                self._refuse(cause if isinstance(cause, ClientError) else MALFORMED)
            except httptools.HttpParserUpgrade as exc:
                if super()._should_upgrade():
                    self.handle_websocket_upgrade()
                elif self._should_upgrade():
                    data = self._declined() + data[exc.args[0] :]
                    continue
            return

    def _refuse(self, error: ClientError) -> None:
        """Answer what is no request, and close: what follows cannot be trusted.

        Requests that came whole before it are answered first (H-10).
        """
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        turn = self.cycle
        if turn is not None and not turn.response_complete:
            if not turn.more_body:
                turn.keep_alive = False
                return
            if self._waits(turn):  # it is never served, and ends those before it
                self.pipeline.popleft()
                self.cycle = self._ahead.pop()
                self.cycle.keep_alive = False
                return
            if turn.response_started:
                turn.cut()
                return
            turn.disconnected = True
            turn.stir()
            turn.leave()
        status, head, body = answer(error)
        head.append((b"connection", b"close"))
        self.transport.write(answer_head(status, head) + body)
        self.linger()

    def _waits(self, turn: Turn) -> bool:
        """Return whether a turn waits for the answers to earlier requests."""
        return any(waiting is turn for waiting, _ in self.pipeline)

    def linger(self) -> None:
        """Say that nothing more comes, and read on for a while what nobody wants.

        So the client sees the answer before it sees the end.
        """
        self._deaf = True
        if self.transport.is_closing():
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            LINGER_S, self.timeout_keep_alive_handler
        )

    def _discard(self, size_bytes: int) -> None:
        self._discarded_bytes += size_bytes
        if self._discarded_bytes > LINGER_BYTES:
            self.transport.close()

    def look(self, pace: Pace, now_s: float) -> None:
        """End what has kept us waiting too long; called now and then (H-75, S-50).

        Units: `now_s` is on the loop's clock.
        """
        turn, progress = self.cycle, self.progress
        if self._deaf:
            progress.rest()
        elif self._in_head:
            if turn is None or self._head_bytes:  # or nothing has begun
                if progress.stalls(turn, now_s, pace.head_timeout_s):
                    self._hurry(pace)
            elif not turn.response_complete:
                progress.rest()
            elif progress.stalls(turn.scope, now_s, self.timeout_keep_alive):
                self.transport.close()  # idle since that turn
        elif turn.unread or turn.response_complete or self.flow.read_paused:
            progress.rest()
        elif progress.lags(turn, now_s, self._body_bytes, pace):
            turn.late = True
            turn.stir()

    def _hurry(self, pace: Pace) -> None:
        if not self._head_bytes:  # it never said anything
            self.transport.close()
            return
        self._refuse(
            HeadTimeoutError(
                f"The request head did not come whole in {pace.head_timeout_s:g} "
                "seconds: send it at once, or raise head_timeout_s."
            )
        )

    def _should_upgrade(self) -> bool:
        """Return whether the head offers any other protocol."""
        return any(name == b"upgrade" for name, _ in self.headers)

    def _declined(self) -> bytes:
        """Return the head to read again as if it offered no protocol (RFC 9110 §7.8).

        llhttp takes all behind such a head for the other protocol's, and Java's client
        offers HTTP/2 with every request it sends without TLS.
        """
        version = self.parser.get_http_version().encode("ascii")
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % it for it in self.headers if it[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_message_begin(self) -> None:
        """Start collecting a request head."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._in_head = self._begun = True
        self._coded = self._upgrades = False
        self._length_name = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; those of a trailer are dropped (H-09).

        Raises: what `_refuse` is to answer; the parser hands it on as a context.
        """
        if not self._in_head:
            return
        spelled, name = name, name.lower()
        if name in FRAMING:
            check(name, value)
            if name == LENGTH:
                self._length_name = spelled
            elif name == CODING:
                self._coded = True
            else:
                self.expect_100_continue = True
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Hand a piece of a body to its turn, and read no further past a limit."""
        self._body_bytes += len(body)
        turn = self.cycle
        if self._upgrades or turn.response_complete:
            return
        turn.take_in(body)
        if len(turn.unread) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_headers_complete(self) -> None:
        """Check the head as a whole, and serve it; raises as `on_header` does."""
        self._in_head, self._head_ended = False, True
        self._head_bytes = self._body_bytes = self._read_bytes = 0
        if len(self.url) > MAX_TARGET_BYTES:
            raise LongTargetError(
                f"The request target is longer than {MAX_TARGET_BYTES} bytes."
            )
        if len(self.headers) > MAX_FIELDS:
            raise HeadTooLargeError(f"The request has more than {MAX_FIELDS} headers.")
        version = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise VersionError(f"HTTP/{version} is not spoken here, HTTP/1.1 is.")
        if self._coded and version == "1.0":
            raise MALFORMED  # it knows no codings (RFC 9112 §6.1)
        self.scope = self._scope(version)
        self._upgrades = self.parser.should_upgrade() and self._should_upgrade()
        if self._upgrades:
            return
        keep_alive = version == "1.1" and self.parser.should_keep_alive()
        if self.parser.should_upgrade():  # CONNECT: llhttp reads nothing behind it
            keep_alive = False
        turn = Turn(self.scope, {}, self, keep_alive=keep_alive)
        turn.waiting_for_100_continue = self.expect_100_continue
        if b"?" in self.url:
            turn.query = self.scope["query_string"]
        self._serve(turn)

    def _serve(self, turn: Turn) -> None:
        """Start the application on a turn, or have it wait for the one before."""
        turn.scope["extensions"] = {"spiritsafe": turn}  # type: ignore[dict-item]  # an object, by the extension's own terms
        before, self.cycle = self.cycle, turn
        if before is None or before.response_complete:
            self._start(turn)
        else:
            self.flow.pause_reading()
            self._ahead.append(before)
            self.pipeline.appendleft((turn, self.app))

    def _start(self, turn: Turn) -> None:
        turn.task = task = self.loop.create_task(turn.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_message_complete(self) -> None:
        """End the body; what comes next is a head."""
        self._in_head, self._begun = True, False
        turn = self.cycle
        if not (self._upgrades or turn.response_complete):
            turn.more_body = False
            turn.stir()

    def on_response_complete(self) -> None:
        """Go on with the request that waits behind this one, if there is any.

        A connection that has none is idle from here, and `look` ends it.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._ahead.popleft()  # the turn that has ended
            turn, _ = self.pipeline.pop()
            self._start(cast("Turn", turn))
        self.read_on()

    def read_on(self) -> None:
        """Read on, unless many requests wait already: all but the last are whole."""
        if len(self.pipeline) < MOST_AHEAD:
            self.flow.resume_reading()

    def _scope(self, version: str) -> HTTPScope:
        raw_path, _, query = self.url.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "scheme": self.scheme or "http",
            "path": raw_path.decode("latin-1"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": self.client,
            "server": self.server,
            "state": self.app_state,
            "extensions": {},
        }

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's returns None: close at once
        """Keep the sending half open while an answer is on its way (H-72)."""
        turn = self.cycle
        if turn is None or turn.response_complete or turn.more_body:
            return False
        if turn.fin_is_leaving:
            return False
        turn.half_closed = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every waiting turn that its client has gone."""
        self.connections.discard(self)
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
            self._unset_keepalive_if_required()
        self.parser = None  # type: ignore[assignment]  # as uvicorn: it knows us, too
        turns = [*self._ahead, self.cycle] if self.cycle is not None else []
        for turn in turns:
            if not turn.response_complete:
                turn.disconnected = True
                turn.stir()
                turn.leave()
