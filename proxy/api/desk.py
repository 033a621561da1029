"""What every answer of `/api` is made with: who may, and where to read and write."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from starlette.requests import Request

from proxy.api.who import Door
from proxy.budget import Budget
from storage.readers import Readers
from storage.reading import Library
from storage.recorder import Recorder

T = TypeVar("T")

READ_TIMEOUT_S = 5.0
"""Of one read: a log of some hundred megabytes waits for its end."""


class Desk(NamedTuple):
    """The long-lived things behind `/api`.

    Shapes: `counting` are readers of their own, so that counts hold up no list;
    `bodies` accounts for the memory of whole exchanges; `stopping` says whether the
    server was told to.
    """

    door: Door
    readers: Readers
    counting: Readers
    recorder: Recorder
    bodies: Budget
    stopping: Callable[[], bool]

    async def read(
        self,
        request: Request,
        function: Callable[[Library, frozenset[str] | None], T],
    ) -> T:
        """Return what a function reads for the visitor, of what the visitor may see.

        Raises: `WhoError`; `StorageError`, which `blamed` translates.
        """
        return await self._run(self.readers, request, function)

    async def tally(
        self,
        request: Request,
        function: Callable[[Library, frozenset[str] | None], T],
    ) -> T:
        """Do as `read` does, behind other counts only."""
        return await self._run(self.counting, request, function)

    async def _run(
        self,
        readers: Readers,
        request: Request,
        function: Callable[[Library, frozenset[str] | None], T],
    ) -> T:
        visitor = self.door.let_in(request.scope["headers"])
        return await readers.run(
            lambda library: function(library, visitor.projects(library)),
            timeout_s=READ_TIMEOUT_S,
        )
