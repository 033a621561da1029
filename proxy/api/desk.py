"""What every answer of `/api` is made with: where to read, and where to write."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from proxy.api.who import Visitor
from proxy.budget import Budget
from proxy.schemas.registrar import Registrar
from storage.readers import Readers
from storage.reading import Library
from storage.recorder import Recorder

T = TypeVar("T")

READ_TIMEOUT_S = 5.0
"""Of one read: a log of some hundred megabytes waits for its end."""


class Desk(NamedTuple):
    """The long-lived things behind `/api`.

    Shapes: `aside` are readers of their own, so that who counts or follows holds up no
    list; `mask_tags` says how tags may be kept; `bodies` accounts for the memory of
    whole exchanges; `stopping` says whether the server was told to; `registrar`
    changes what is registered; `db` is the file.
    """

    readers: Readers
    aside: Readers
    recorder: Recorder
    mask_tags: Callable[[Mapping[str, str]], dict[str, str]]
    bodies: Budget
    stopping: Callable[[], bool]
    registrar: Registrar
    db: Path

    async def read(
        self,
        visitor: Visitor,
        function: Callable[[Library, frozenset[str] | None], T],
    ) -> T:
        """Return what a function reads for the visitor, of what the visitor may see.

        Raises: `StorageError`, which clients are told of by `refusal_of`.
        """
        return await self._run(self.readers, visitor, function)

    async def read_aside(
        self,
        visitor: Visitor,
        function: Callable[[Library, frozenset[str] | None], T],
    ) -> T:
        """Do as `read` does, behind others who count or follow only."""
        return await self._run(self.aside, visitor, function)

    async def _run(
        self,
        readers: Readers,
        visitor: Visitor,
        function: Callable[[Library, frozenset[str] | None], T],
    ) -> T:
        return await readers.run(
            lambda library: function(library, visitor.projects(library)),
            timeout_s=READ_TIMEOUT_S,
        )
