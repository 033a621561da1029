"""Judges recorded exchanges by a registered version, for the operator alone.

The work is the command's, `spiritsafe schema test`, in a process of its own: reading
and adding up would hold the interpreter's lock against the traffic.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from functools import partial

from starlette.requests import Request

from proxy.api import registered
from proxy.api.asking import body
from proxy.api.desk import Desk
from proxy.api.filters import parsed
from proxy.api.registering import admitted, registered_as
from proxy.api.sending import Json
from proxy.api.who import Visitor
from proxy.errors import BusyError, OwnError
from proxy.front.turn import ClientGone, Turn
from proxy.schemas.spread import cores
from proxy.stitch.values import read_json, write_json

COMMAND = "from proxy.cli import main; main()"


class Judging:
    """Tries schemas on what was recorded, one at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._busy = False

    async def judge(self, request: Request, visitor: Visitor) -> Json:
        """Judge all that matches, and tell what was found."""
        admitted(request, visitor)
        turn: Turn = request.scope["extensions"]["spiritsafe"]
        turn.fin_is_leaving = True  # nothing follows that it could still want to send
        its = request.path_params
        version = registered_as(
            self._desk.registrar.registry, f"{its['name']}@{its['version']}"
        )
        asked = await body(request, registered.Trial)
        parsed(asked.where, "where")
        if self._busy:
            raise BusyError("A schema is being tried already: come again after it.")
        self._busy = True
        try:
            told = await self._told(version.ref, asked, turn)
        finally:
            self._busy = False
        return Json(write_json({"object": "judgements", **read_json(told)}))

    async def _told(self, ref: str, asked: registered.Trial, turn: Turn) -> bytes:
        """Return what the command prints; it ends with whoever waits for it.

        Raises: `ClientGone` where nobody does any more.
        """
        flags = [f"--db={self._desk.db}", f"--where={asked.where}", "--json"]
        flags += [f"--tool={asked.tool}", f"--processes={max(cores() - 1, 1)}"]
        flags += ["--apply"] * asked.apply
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", COMMAND, "schema", "test", ref, *flags),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a Ctrl-C at a terminal is for the proxy
        )
        turn.when_left = partial(_end, process)
        try:
            if turn.left:
                raise ClientGone
            told, _ = await process.communicate()
        finally:
            turn.when_left = None
            if process.returncode is None:
                process.kill()
                await asyncio.shield(process.communicate())
        if turn.left:
            raise ClientGone
        if process.returncode:
            raise OwnError(f"Judging ended with {process.returncode}.")
        return told


def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
