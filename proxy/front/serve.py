"""Runs the server: binds, announces where it listens, stops on a signal."""

import asyncio
import contextlib
import errno
import logging
import math
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from proxy.app import App
from proxy.front.connection import Connection
from proxy.front.pace import kept
from proxy.front.tunnel import Tunnel

BACKLOG = 2048
"""Connections waiting to be accepted; the kernel may cap it (`somaxconn`)."""

KEEP_ALIVE_S = 75
"""Idle client connections are kept this long, as nginx does."""


LAST_WORDS_S = 1.5
"""What cancelled exchanges get to hand over what they have (reliability 2.8)."""


STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""A terminal that closes (SIGHUP) stops as well, unless `nohup` had it ignored.

Without a terminal SIGHUP has read again what may be, where there is any of it.
"""


class CannotListen(Exception):
    """The address cannot be bound; the message says which and why."""


class Server(uvicorn.Server):
    """uvicorn, told apart only in how it starts and stops.

    uvicorn looks ten times a second whether it is to stop, and stops in a tenth of a
    second at least; this one is woken, and waits only for what is open.
    """

    def __init__(
        self, config: uvicorn.Config, app: App, announce: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._announce = announce
        app.clients = lambda: len(self.server_state.connections)
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()

    def stop(self) -> None:
        """Have it stop; a handler of signals may call this."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._announce()

    async def main_loop(self) -> None:
        """Serve until asked to stop."""
        if not await self.on_tick(0):  # sets the headers that all answers have
            await self._asked.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody any more, and let what is open end."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for _ in range(3):  # whoever was accepted by now gets its connection
            await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `signals`, which holds them until the file is closed."""
        yield

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Stop on SIGTERM, SIGINT and SIGHUP, and exit 0 after an orderly stop.

        SIGHUP may have something read again instead, as `STOPS` says.
        Once told to stop the process only ends: no further signal may break off its
        last commit, so from then on they are ignored.
        """
        heeded = [it for it in STOPS if signal.getsignal(it) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._stop) for number in heeded}
        if self._app.reloads and not os.isatty(0):
            reload = signal.signal(signal.SIGHUP, self._reload)
            before.setdefault(signal.SIGHUP, reload)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if self._told else handler)

    def _reload(self, *_: object) -> None:
        """Have the folder of schemas read again, in the loop's own time."""
        if self._loop is not None:  # before, it is about to be read
            self._loop.call_soon_threadsafe(self._app.reload)

    def _stop(self, *_: object) -> None:
        """Stop; told twice, wait for no stream (reliability 2.8)."""
        self._app.draining = True
        self.force_exit = self._told
        self._told = True
        self.stop()


def bind(listen: str) -> socket.socket:
    """Return a bound socket for `host:port` or `unix:/path`.

    Raises: `CannotListen` with a sentence for the operator.
    """
    try:
        if listen.startswith("unix:"):
            return _bind_unix(Path(listen.removeprefix("unix:")))
        address = host_and_port(listen)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as exc:
        raise CannotListen(
            f"cannot listen on {listen}: {exc.strerror}. Is another program there? "
            "Choose another address with --listen"
        ) from exc
    # Accepted sockets inherit it. asyncio sets it itself only where a socket says
    # IPPROTO_TCP, which create_server's does not: 40 ms to an answer in two writes.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def host_and_port(listen: str) -> tuple[str, int]:
    """Return the two parts of an address; a port alone would mean every interface.

    Raises: `CannotListen` where it is no address.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CannotListen(
            f"'{listen}' is no address: write host:port or unix:/path/to/socket"
        )
    return host.strip("[]"), int(port)


def _bind_unix(path: Path) -> socket.socket:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            pass
        except ConnectionRefusedError:  # nobody listens, or it is no socket at all
            if not stat.S_ISSOCK(path.stat().st_mode):
                raise CannotListen(
                    f"cannot listen on unix:{path}: there is a file that is no socket. "
                    "Choose another path with --listen, or move it away"
                ) from None
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
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


def no_news(record: logging.LogRecord) -> bool:
    """Say whether a log line tells more than that a stop cut an exchange off."""
    return record.exc_info is None or record.exc_info[0] is not asyncio.CancelledError


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
        timeout_graceful_shutdown=math.ceil(drain_s),
    )
    logging.getLogger("uvicorn.error").addFilter(no_news)
    return Server(config, app, announce)


async def serve(app: App, server: Server, sock: socket.socket) -> None:
    """Serve until told to stop, then let every exchange reach its end.

    Raises: what `App.running` raises, before anything is accepted.
    """
    with server.signals():
        async with app.running():
            app.reached_at(address_of(sock))
            async with kept(server.server_state.connections, app.pace):
                await server.serve(sockets=[sock])
            left = set(server.server_state.tasks)  # uvicorn does not wait for them
            if server.force_exit:  # nor has it cancelled them
                for task in left:
                    task.cancel()
            if left:
                await asyncio.wait(left, timeout=LAST_WORDS_S)
