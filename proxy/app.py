"""Assembles the application: long-lived things, routes, lifespan; has no logic."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from proxy.api.desk import Desk
from proxy.api.routes import Own, api_routes
from proxy.api.who import Door
from proxy.budget import Budget, Budgets
from proxy.callers import Callers, load_secret
from proxy.dispatch import Dispatch
from proxy.forward import Forward
from proxy.front.pace import Pace
from proxy.front.tunnel import Tunnel, UpgradeHead
from proxy.headers import MARK_LEAD
from proxy.housekeeping import PATH, SCHEMAS_PATH, Housekeeping
from proxy.indexing import indexing
from proxy.memory import answers_bytes, bodies_bytes, limit_bytes
from proxy.meters import Meters
from proxy.metrics import Exposition, Held
from proxy.passage import Clock, Wiring
from proxy.schemas.directory import take_in
from proxy.schemas.judge import Judge
from proxy.schemas.registrar import Registrar
from proxy.settings import Settings, is_loopback
from proxy.stored.serve import Stored
from proxy.strangers import Strangers
from proxy.through import Through
from proxy.upgrade import upgrade
from proxy.upstream.opening import open_transport
from proxy.upstream.send import Upstream
from storage.ids import Ids
from storage.index.behind import Behind
from storage.index.file import remove
from storage.readers import Readers
from storage.recorder import Recorder
from storage.recovery import RecoveryReport
from storage.safekeeping import Limits


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
        self._callers: Callers
        self._dispatch: Dispatch
        self._house: Housekeeping
        self._strangers = Strangers(
            settings.served_names,
            everyone=not is_loopback(settings.listen) or settings.is_unix,
        )
        self._asked_again = asyncio.Event()
        self.draining = False
        self.pace = Pace(
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            min_body_bytes_per_s=settings.min_body_bytes_per_s,
        )
        self.clients: Callable[[], int] = int
        self.own: Own
        self.registrar: Registrar
        self._judge = Judge()

    @property
    def recovered(self) -> RecoveryReport:
        """What opening the file found of runs that did not end cleanly."""
        return self._recorder.report

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        return self._dispatch(scope, receive, send)

    async def tunnel(self, head: UpgradeHead, client: Tunnel) -> None:
        """Serve one upgrade request."""
        await upgrade(
            self._upstreams, self._strangers, self._callers, head=head, client=client
        )

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
                    limits=limits_of(settings),
                    clock=self._clock.wall_us,
                )
            )
            self.registrar = await Registrar.open(
                self._recorder, clock=self._clock.wall_us
            )
            stack.push_async_callback(self._judge.close)
            if settings.schemas is not None or not self.registrar.registry.is_empty:
                await self._judge.prepare()
            if settings.schemas is not None:
                await take_in(settings.schemas, self.registrar)
            index = await self._indexed(stack, db)
            forward = self._assemble(stack, db, index)
            async with self._tending(db, forward, index):
                yield self

    @asynccontextmanager
    async def _tending(
        self, db: Path, forward: Forward, index: Behind | None
    ) -> AsyncIterator[None]:
        """Run what goes on beside the traffic."""
        self._house = Housekeeping(db, self._recorder, self._settings, index=index)
        async with asyncio.TaskGroup() as tasks:
            saver = tasks.create_task(forward.save_long_ones())
            keeper = tasks.create_task(self._house.keep(self._clock.wall_us))
            reader = tasks.create_task(self._take_in_again())
            try:
                yield
            finally:
                saver.cancel()
                keeper.cancel()
                reader.cancel()

    async def _take_in_again(self) -> None:
        """Read the directory of schemas whenever that is asked for."""
        folder = self._settings.schemas
        while folder is not None:
            await self._asked_again.wait()
            self._asked_again.clear()
            await take_in(folder, self.registrar)

    @property
    def reloads(self) -> bool:
        """Whether there is anything to be read again while it runs."""
        return self._settings.schemas is not None

    def reload(self) -> None:
        """Have read again what `reloads` tells of; from the loop's thread."""
        self._asked_again.set()

    def reached_at(self, address: str) -> None:
        """Tell commands that work on the file where to ask."""
        self._house.announce(address)

    def _assemble(
        self, stack: AsyncExitStack, db: Path, index: Behind | None
    ) -> Forward:
        """Open what stands between clients, upstreams and the recorder."""
        settings = self._settings
        mark = MARK_LEAD + secrets.token_hex(8).encode("ascii")
        self._open_upstreams(stack, mark)
        secret = settings.secret_given or load_secret(db.with_name(db.name + ".secret"))
        self._callers = Callers(secret, settings.tokens_issued)
        self._exposition = Exposition(self._meters, self._recorder, self._held(index))
        readers = stack.enter_context(closing(Readers(db)))
        memory = budgets(settings)
        self.own = Own(self._routes(stack, db, readers, memory))
        through = Through(self._upstreams, self._meters)
        stored = Stored(
            self._upstreams,
            callers=self._callers,
            readers=readers,
            checks=stack.enter_context(closing(checking(db, settings))),
            recorder=self._recorder,
            mask_tags=settings.mask_tags,
            through=through,
        )
        forward = Forward(
            self._wiring(),
            self._upstreams,
            through,
            budgets=memory,
            secret=secret,
            refuse_foreign=stored.refuse_foreign,
            new_id=Ids(),
        )
        self._dispatch = Dispatch(
            self._upstreams,
            forward=forward,
            through=through,
            stored=stored,
            own=self.own,
            callers=self._callers,
            mark=mark,
            strangers=self._strangers,
            embeddings=settings.record_embeddings,
            most_at_once=settings.max_requests_at_once,
        )
        return forward

    def _open_upstreams(self, stack: AsyncExitStack, mark: bytes) -> None:
        for name, its in self._settings.every_upstream().items():
            transport = open_transport(its)
            stack.push_async_callback(transport.aclose)
            self._upstreams[name] = Upstream(name, its, transport, mark=mark)

    def _wiring(self) -> Wiring:
        return Wiring(
            *(self._settings, self._recorder, self._meters, self._clock),
            judge=self._judge,
            registry=lambda: self.registrar.registry,
            masker=self._settings.masker(),
        )

    def _routes(
        self, stack: AsyncExitStack, db: Path, readers: Readers, memory: Budgets
    ) -> list[BaseRoute]:
        """Return our own routes; what they read with is closed by the stack."""
        settings = self._settings
        held = all(its.key_env for its in settings.every_upstream().values())
        door = Door(self._callers, console_tokens(settings), only_issued=held)
        desk = Desk(
            readers=readers,
            aside=stack.enter_context(closing(Readers(db, most_at_once=1))),
            recorder=self._recorder,
            mask_tags=settings.mask_tags,
            bodies=memory.answers,
            stopping=lambda: self.draining,
            registrar=self.registrar,
            db=db,
        )
        return [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Route(PATH, self._keep_house, methods=["POST"]),
            Route(SCHEMAS_PATH, self._register, methods=["POST"]),
            *api_routes(door, desk, self._clock.wall_us),
        ]

    async def _indexed(self, stack: AsyncExitStack, db: Path) -> Behind | None:
        if not self._settings.index:
            remove(db)  # nobody would take out of it what is removed from the file
            return None
        return await stack.enter_async_context(indexing(db, self._recorder))

    def _held(self, index: Behind | None) -> Held:
        def clients() -> int:  # the server sets what it calls, after this
            return self.clients()

        return Held(clients, lambda: len(asyncio.all_tasks()), self._upstreams, index)

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse(f"{self._health()}\n")

    def _health(self) -> str:
        """Say in a line how recording does; with 200, as no restart mends a disk."""
        recorder = self._recorder
        if recorder.failed:
            return "failed: storage does not take what is recorded"
        if recorder.failing:
            return "degraded: storage is failing"
        if recorder.low:
            return "degraded: the disk is nearly full"
        return "ok"

    async def _readyz(self, _: Request) -> Response:
        if self.draining:
            return PlainTextResponse("draining\n", status_code=503)
        if self._recorder.failing:
            return PlainTextResponse("storage is failing\n", status_code=503)
        if self._settings.fails_closed and not self._recorder.stores:
            return PlainTextResponse("storage is in trouble\n", status_code=503)
        return PlainTextResponse("ready\n")

    async def _keep_house(self, request: Request) -> Response:
        return await self._house.serve(request, self._clock.wall_us)

    async def _register(self, request: Request) -> Response:
        return await self._house.register(request, self.registrar)

    async def _metrics(self, _: Request) -> Response:
        return Response(self._exposition.text(), media_type="text/plain; version=0.0.4")


def checking(db: Path, settings: Settings) -> Readers:
    """Return what looks up for traffic, which no reader of recordings holds up."""
    most = settings.max_requests_at_once
    return Readers(db, most_at_once=1, most_waiting=most)


def console_tokens(settings: Settings) -> list[bytes]:
    """Return what opens all that is recorded."""
    token = settings.console_token
    return [] if token is None else [token.get_secret_value().encode("ascii")]


def budgets(settings: Settings) -> Budgets:
    """Return the memory for bodies: as set, or as much as this machine allows."""
    limit, wait_s = limit_bytes(), settings.room_timeout_s
    return Budgets(
        Budget(settings.max_bodies_bytes or bodies_bytes(limit), wait_s=wait_s),
        Budget(settings.max_answers_bytes or answers_bytes(limit), wait_s=wait_s),
    )


def limits_of(settings: Settings) -> Limits:
    """Return what the recorder may use."""
    return Limits(
        queue_bytes=settings.max_queue_bytes,
        reserve_bytes=settings.reserve_bytes,
        spool_bytes=settings.max_spool_bytes,
        spool=settings.spool,
    )
