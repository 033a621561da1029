"""Runs the server: binds, announces where it listens, stops on a signal."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from proxy.app import App
from proxy.front.connection import Connection
from proxy.front.tunnel import Tunnel

BACKLOG = 2048
"""Connections waiting to be accepted; the kernel may cap it (`somaxconn`)."""

KEEP_ALIVE_S = 75
"""Idle client connections are kept this long, as nginx does."""


LAST_WORDS_S = 1.5
"""What cancelled exchanges get to hand over what they have (reliability 2.8)."""


class CannotListen(Exception):
    """The address cannot be bound; the message says which and why."""


class Server(uvicorn.Server):
    """uvicorn, told apart only in how it starts and stops."""

    def __init__(
        self, config: uvicorn.Config, app: App, announce: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets)
        if self.started:
            self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and exit 0 after an orderly stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self, number: int) -> None:
        self._app.draining = True
        self.handle_exit(number, None)


def bind(listen: str) -> socket.socket:
    """Return a bound socket for `host:port` or `unix:/path`.

    Raises: `CannotListen` with a sentence for the operator.
    """
    try:
        if listen.startswith("unix:"):
            return _bind_unix(Path(listen.removeprefix("unix:")))
        host, _, port = listen.rpartition(":")
        address = (host.strip("[]"), int(port))
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.create_server(address, family=family, backlog=BACKLOG)
    except ValueError:
        raise CannotListen(
            f"'{listen}' is no address: write host:port or unix:/path/to/socket"
        ) from None
    except OSError as exc:
        raise CannotListen(
            f"cannot listen on {listen}: {exc.strerror}. Is another program there? "
            "Choose another address with --listen"
        ) from exc
    # Accepted sockets inherit it. asyncio sets it itself only where a socket says
    # IPPROTO_TCP, which create_server's does not: 40 ms to an answer in two writes.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
        sock.connect(str(path))
        sock.close()
        raise OSError(98, "Address already in use")
    sock.close()
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(0o600)
    return sock


def address_of(sock: socket.socket) -> str:
    """Return the URL of a bound socket, as a client would write it."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def build_server(
    app: App, *, drain_s: float, announce: Callable[[], None] = lambda: None
) -> Server:
    """Return the server of an application; `announce` is called once it listens.

    Units: `drain_s` seconds that open exchanges get to end at a stop.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        ws=Tunnel,
        interface="asgi3",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(drain_s),
    )
    return Server(config, app, announce)


async def serve(app: App, server: Server, sock: socket.socket) -> None:
    """Serve until told to stop, then let every exchange reach its end.

    Raises: what `App.running` raises, before anything is accepted.
    """
    async with app.running():
        await server.serve(sockets=[sock])
        if cancelled := set(
            server.server_state.tasks
        ):  # uvicorn does not wait for them
            await asyncio.wait(cancelled, timeout=LAST_WORDS_S)
