"""Assembles the application: long-lived things, routes, lifespan; has no logic."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proxy.callers import load_secret
from proxy.dispatch import Dispatch
from proxy.forward import Forward
from proxy.front.tunnel import Tunnel, UpgradeHead
from proxy.headers import MARK_LEAD
from proxy.meters import Meters
from proxy.metrics import Exposition, Held
from proxy.passage import Clock, Wiring
from proxy.settings import Settings
from proxy.through import Through
from proxy.upgrade import upgrade
from proxy.upstream.opening import open_transport
from proxy.upstream.send import Upstream
from storage.ids import Ids
from storage.recorder import Recorder
from storage.recovery import RecoveryReport


class App:
    """The ASGI application.

    `draining` is set when the server was told to stop: /readyz says no from then on.
    `clients` counts the server's connections; the server sets it.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or Clock()
        self._meters = Meters()
        self._recorder: Recorder
        self._exposition: Exposition
        self._upstreams: dict[str, Upstream] = {}
        self._dispatch: Dispatch
        self.draining = False
        self.clients: Callable[[], int] = int
        self._own = Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/metrics", self._metrics),
            ]
        )

    @property
    def recovered(self) -> RecoveryReport:
        """What opening the file found of runs that did not end cleanly."""
        return self._recorder.report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._dispatch(scope, receive, send)

    async def tunnel(self, head: UpgradeHead, client: Tunnel) -> None:
        """Serve one upgrade request."""
        await upgrade(self._upstreams, head, client)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        """Open everything, and close it again in the opposite order.

        Raises: `StorageError` and `ValueError` with a sentence for the operator.
        """
        settings = self._settings
        db = settings.db.resolve()  # a link to it has the same secret and owner
        async with AsyncExitStack() as stack:
            self._recorder = await stack.enter_async_context(
                Recorder.open(
                    db,
                    durability=settings.durability,
                    max_queue_bytes=settings.max_queue_bytes,
                    clock=self._clock.wall_us,
                )
            )
            mark = MARK_LEAD + secrets.token_hex(8).encode("ascii")
            through = Through(
                self._upstreams,
                self._meters,
                body_timeout_s=settings.body_timeout_s,
            )
            self._exposition = Exposition(self._meters, self._recorder, self._held())
            for name, its in settings.every_upstream().items():
                transport = open_transport(its)
                stack.push_async_callback(transport.aclose)
                self._upstreams[name] = Upstream(name, its, transport, mark=mark)
            forward = Forward(
                Wiring(settings, self._recorder, self._meters, self._clock),
                self._upstreams,
                through,
                secret=load_secret(db.with_name(db.name + ".secret")),
                new_id=Ids(),
            )
            self._dispatch = Dispatch(
                self._upstreams,
                forward=forward,
                through=through,
                own=self._own,
                mark=mark,
                embeddings=settings.record_embeddings,
            )
            async with asyncio.TaskGroup() as tasks:
                saver = tasks.create_task(forward.save_long_ones())
                try:
                    yield self
                finally:
                    saver.cancel()

    def _held(self) -> Held:
        def clients() -> int:  # the server sets what it calls, after this
            return self.clients()

        return Held(clients, lambda: len(asyncio.all_tasks()), self._upstreams)

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _: Request) -> Response:
        if self.draining:
            return PlainTextResponse("draining\n", status_code=503)
        if self._recorder.failing:
            return PlainTextResponse("storage is failing\n", status_code=503)
        return PlainTextResponse("ready\n")

    async def _metrics(self, _: Request) -> Response:
        return Response(self._exposition.text(), media_type="text/plain; version=0.0.4")
