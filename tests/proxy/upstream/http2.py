"""A scripted upstream that speaks HTTP/2 over TLS: what it does to a stream is by path."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, WindowUpdated
from h2.settings import SettingCodes, Settings

BIG = bytes(range(256)) * 4096  # a mebibyte, sixteen windows
REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11  # RFC 9113 §7


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, upstream: "Http2") -> None:
        self._upstream = upstream
        self._state = H2Connection(H2Configuration(client_side=False))
        self._paths: dict[int, str] = {}
        self._unsent: dict[int, bytes] = {}
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say how many streams there may be."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no child
        self._upstream.connections += 1
        most: dict[SettingCodes, int] = {
            SettingCodes.MAX_CONCURRENT_STREAMS: self._upstream.most_streams
        }
        self._state.local_settings = Settings(client=False, initial_values=most)
        self._state.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        if self._transport.is_closing():
            return
        for event in self._state.receive_data(data):
            self._hear(event)
        self._flush()

    def _hear(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            pairs = {bytes(k): bytes(v) for k, v in event.headers}
            self._paths[event.stream_id] = pairs[b":path"].decode()
            self._upstream.open += 1
            self._upstream.most_open = max(
                self._upstream.most_open, self._upstream.open
            )
        elif isinstance(event, DataReceived):
            self._state.acknowledge_received_data(
                event.flow_controlled_length, event.stream_id
            )
        elif isinstance(event, StreamEnded):
            self._upstream.asked.append(self._paths[event.stream_id])
            self._answer(event.stream_id, self._paths[event.stream_id])
        elif isinstance(event, WindowUpdated):
            for stream in tuple(self._unsent):
                self._send_more(stream)

    def _answer(self, stream: int, path: str) -> None:
        state = self._state
        if path == "/reset":
            state.reset_stream(stream, ENHANCE_YOUR_CALM)
        elif path == "/goaway" and self._upstream.connections == 1:
            state.close_connection(last_stream_id=0)
            self._flush()
            self._transport.close()
        elif path == "/trailers":
            state.send_headers(stream, [(":status", "200"), ("trailer", "x-late")])
            state.send_data(stream, b"ok")
            state.send_headers(stream, [("x-late", "1")], end_stream=True)
        elif path == "/broken":
            state.send_headers(stream, [(":status", "200")])
            state.send_data(stream, b"half")
            state.reset_stream(stream, REFUSED_STREAM)
        elif path == "/hold":
            self._upstream.held.append(lambda: self._release(stream))
            return
        else:
            state.send_headers(stream, [(":status", "200")])
            self._unsent[stream] = BIG if path == "/big" else b"ok"
            self._send_more(stream)
        self._upstream.open -= 1

    def _release(self, stream: int) -> None:
        self._state.send_headers(stream, [(":status", "200")])
        self._state.send_data(stream, b"held", end_stream=True)
        self._upstream.open -= 1
        self._flush()

    def _send_more(self, stream: int) -> None:
        left = self._unsent.pop(stream, b"")
        while left:
            room = min(
                self._state.local_flow_control_window(stream),
                self._state.max_outbound_frame_size,
            )
            if not room:
                self._unsent[stream] = left
                return
            self._state.send_data(stream, left[:room], end_stream=len(left) <= room)
            left = left[room:]

    def _flush(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._state.data_to_send())


class Http2:
    """The upstream: what it was asked, and what it holds back."""

    def __init__(self, most_streams: int) -> None:
        self.most_streams = most_streams
        self.url = ""
        self.asked: list[str] = []
        self.connections = self.open = self.most_open = 0
        self.held: list[Callable[[], None]] = []


@contextlib.asynccontextmanager
async def http2_upstream(
    folder: Path, *, most_streams: int = 100
) -> AsyncIterator[Http2]:
    """Run it on a loopback port; `ca.pem` in the folder is whom to trust."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("localhost").configure_cert(context)
    upstream = Http2(most_streams)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Wire(upstream), "127.0.0.1", 0, ssl=context
    )
    upstream.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield upstream
