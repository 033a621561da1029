"""An upstream and a proxy that stand for one test, and a client connected."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from storage.assemble import Kept
from storage.queries.pages import page
from storage.reading import open_library
from tests.living import Living, RawClient, living_proxy
from tests.scripted_upstream import (
    RawRequest,
    Script,
    ScriptedUpstream,
    scripted_upstream,
)


class Standing(NamedTuple):
    """What stands."""

    client: RawClient
    proxy: Living
    upstream: ScriptedUpstream

    @property
    def asked(self) -> RawRequest:
        """The last request that the upstream got."""
        return self.upstream.requests[-1]

    def kept(self) -> Kept:
        """Return the newest exchange of the file, whole."""
        with open_library(self.proxy.db) as library:
            return library.whole(page(library, None, limit=1).rows[0])


@asynccontextmanager
async def standing(
    folder: Path, script: Script, **settings: Any
) -> AsyncIterator[Standing]:
    """Run an upstream with this script and a proxy before it."""
    async with (
        scripted_upstream(script) as upstream,
        living_proxy(folder / "s.db", upstream.url, **settings) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        yield Standing(client, proxy, upstream)
