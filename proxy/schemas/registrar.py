"""Holds the registry of a running server, and changes it together with the file."""

from collections.abc import Callable
from typing import Self

from proxy.schemas.registry import Registry
from storage.recorder import Recorder
from storage.registering import Entered, Entry, enter_and_read
from storage.registry import bindings, versions


class Registrar:
    """The one place where what is registered changes.

    Shapes: `registry` is swapped whole; who holds one goes on with it.
    """

    def __init__(
        self, recorder: Recorder, registry: Registry, *, clock: Callable[[], int]
    ) -> None:
        self.registry = registry
        self._recorder = recorder
        self._clock = clock

    @classmethod
    async def open(cls, recorder: Recorder, *, clock: Callable[[], int]) -> Self:
        """Read what is registered. Raises: `StorageFailed`."""
        registry = await recorder.apply(
            lambda its: Registry(versions(its), bindings(its))
        )
        return cls(recorder, registry, clock=clock)

    async def enter(self, entry: Entry) -> Entered:
        """Change what is registered; on disk, and in force, when this returns.

        All versions are read again only where others than ours came to be.
        Raises: `NoSuchSchema`, `NoSuchBinding`, `StorageFailed`.
        """
        now_at = self._clock()
        # The recorder makes one change at a time: none overtakes another here.
        change = await self._recorder.change(
            lambda its: enter_and_read(
                its, entry, known=len(self.registry.versions), now_at=now_at
            )
        )
        versions = change.versions
        if versions is None:
            versions = [*self.registry.versions, *change.added]
        self.registry = Registry(versions, change.bindings)
        return change.done
