"""Judges recorded exchanges by a registered version, for the operator alone."""

import asyncio
from collections.abc import Callable
from threading import Event

from starlette.requests import Request

from proxy.api import registered
from proxy.api.asking import body
from proxy.api.desk import Desk
from proxy.api.filters import parsed
from proxy.api.registering import admitted, registered_as
from proxy.api.sending import Json
from proxy.api.who import Visitor
from proxy.errors import BusyError, OwnError
from proxy.schemas.judge import Bound
from proxy.schemas.spread import Job, cores
from proxy.schemas.tally import Findings
from proxy.schemas.trial import bound_of, trial
from proxy.stitch.values import write_json
from storage.judgements import Rejudged
from storage.queries.tree import Node
from storage.reading import open_library
from storage.upkeep import Upkeep


class _Left(Exception):
    """Who asked is gone, or the server stops."""


class Judging:
    """Tries schemas on what was recorded, one at a time, in processes of their own."""

    def __init__(self, desk: Desk, now_us: Callable[[], int]) -> None:
        self._desk = desk
        self._now_us = now_us
        self._busy = False

    async def judge(self, request: Request, visitor: Visitor) -> Json:
        """Judge all that matches, and tell what was found."""
        admitted(request, visitor)
        its = request.path_params
        version = registered_as(
            self._desk.registrar.registry, f"{its['name']}@{its['version']}"
        )
        asked = await body(request, registered.Trial)
        query = parsed(asked.where, "where")
        if self._busy:
            raise BusyError("A schema is being tried already: come again after it.")
        self._busy = True
        try:
            bound = bound_of(version, tool=asked.tool)
            findings = await self._tried(bound, query, keeps=asked.apply)
        finally:
            self._busy = False
        told = {"object": "judgements", "schema": version.ref, "applied": asked.apply}
        return Json(write_json({**told, **findings.report()}))

    async def _tried(
        self, bound: Bound, query: Node | None, *, keeps: bool
    ) -> Findings:
        loop, left = asyncio.get_running_loop(), Event()

        def keep(judged: list[Rejudged]) -> None:
            asyncio.run_coroutine_threadsafe(self._keep(judged), loop).result()

        def done(_: int) -> None:
            if left.is_set() or self._desk.stopping():
                raise _Left

        def run() -> Findings:
            path = self._desk.db
            with open_library(path) as library:
                return trial(
                    library,
                    Job(path, bound, wants_all=keeps),
                    query,
                    workers=max(cores() - 1, 1),
                    keep=keep if keeps else None,
                    done=done,
                )

        try:
            return await asyncio.to_thread(run)
        except _Left as exc:
            raise BusyError("The server stops: try again once it runs.") from exc
        except RuntimeError as exc:
            raise OwnError("A process that judged ended early: see the log.") from exc
        finally:
            left.set()

    async def _keep(self, judged: list[Rejudged]) -> None:
        upkeep = Upkeep(self._desk.recorder, self._desk.db)
        await upkeep.judge(judged, judged_at=self._now_us())
