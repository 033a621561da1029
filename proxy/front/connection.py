"""One client connection: uvicorn's httptools protocol, with turns of our own.

It builds the ASGI scope from the request line as it was sent, tells a turn when its
client leaves, and keeps going when the client only closes its sending half.
"""

import asyncio
from typing import Any

import httptools
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.errors import ClientError, answer
from proxy.front.turn import STATUS_LINES, Turn

MALFORMED = ClientError(
    "This is no HTTP/1.1 request that can be trusted: its head or its framing is "
    "malformed. Check the client, or what stands between it and this proxy.",
    code="malformed_request",
)


class Connection(HttpToolsProtocol):
    """What uvicorn makes for each connection it accepts."""

    cycle: Turn

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ahead: list[Turn] = []  # of `cycle`, where requests are pipelined

    def data_received(self, data: bytes) -> None:
        """Parse what came, up to where another protocol is offered."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(MALFORMED)
        except httptools.HttpParserUpgrade as exc:
            if super()._should_upgrade():
                self.handle_websocket_upgrade()
            elif self._should_upgrade():
                self._decline(data[exc.args[0] :])

    def _refuse(self, error: ClientError) -> None:
        """Answer what is no request, and close: what follows cannot be trusted."""
        _, head, body = answer(error)
        lines = [STATUS_LINES[400], *(b"%b: %b\r\n" % pair for pair in head)]
        self.transport.write(b"".join(lines) + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _should_upgrade(self) -> bool:
        """Return whether the head offers any other protocol."""
        return any(name == b"upgrade" for name, _ in self.headers)

    def _decline(self, rest: bytes) -> None:
        """Read a request again as if it offered no other protocol (RFC 9110 §7.8).

        llhttp takes all behind such a head for the other protocol's, and Java's client
        offers HTTP/2 with every request it sends without TLS.
        """
        version = self.parser.get_http_version().encode("ascii")
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % it for it in self.headers if it[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        """Start collecting a request head."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Build scope and turn, and start the application or queue behind the last."""
        version = self.parser.get_http_version()
        self.scope = self._scope(version)
        if self.parser.should_upgrade() and self._should_upgrade():
            return
        turn = Turn(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if b"?" in self.url:
            turn.query = self.scope["query_string"]
        self.scope["extensions"] = {"spiritsafe": turn}  # type: ignore[dict-item]  # an object, by the extension's own terms
        before, self.cycle = self.cycle, turn
        if before is None or before.response_complete:
            self._start_asgi_task(turn, self.app)
        else:
            self.flow.pause_reading()
            self._ahead.append(before)
            self.pipeline.appendleft((turn, self.app))

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
        super().connection_lost(exc)
        turns = [*self._ahead, self.cycle] if self.cycle is not None else []
        for turn in turns:
            if not turn.response_complete:
                turn.disconnected = True
                turn.message_event.set()
                turn.leave()
