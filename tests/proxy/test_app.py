"""The application's own routes, asked of a living proxy."""

import sqlite3
from pathlib import Path

import pytest

from storage.commits import Outcome
from tests.living import Living, RawClient, living_proxy
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Wire,
    completion,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio


async def plain(_: RawRequest, wire: Wire) -> None:
    await wire.answer(completion())


async def ask(proxy: Living, path: str) -> tuple[int, bytes]:
    async with RawClient.connect(proxy.port) as client:
        await client.send(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
        status, headers = await client.head()
        return status, await client.body(headers)


async def test_it_is_not_ready_while_storage_fails(tmp_path: Path) -> None:
    """The traffic goes on all the same (P4), marked as not recorded."""
    db = tmp_path / "s.db"
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(db, upstream.url) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        assert (200, b"ready\n") == await ask(proxy, "/readyz")
        blocker = sqlite3.connect(db, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")  # a foreign writer: SQLITE_BUSY
        await client.post("/v1/chat/completions", CHAT)
        status, headers = await client.head()
        assert completion() == await client.body(headers)
        assert (200, "no") == (status, headers["x-spiritsafe-recorded"])
        assert (503, b"storage is failing\n") == await ask(proxy, "/readyz")
        degraded = b"degraded: storage is failing\n"
        assert (200, degraded) == await ask(proxy, "/healthz")
        blocker.close()
        await client.post("/v1/chat/completions", CHAT)
        _, headers = await client.head()
        await client.body(headers)
        assert "yes" == headers["x-spiritsafe-recorded"]
        assert (200, b"ready\n") == await ask(proxy, "/readyz")


async def test_a_recorder_that_stopped_says_so_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours in the writer; its words might be those of a body."""

    async def defect(*_: object, **__: object) -> list[Outcome]:
        raise LookupError("words of a body")

    with pytest.RaisesGroup(LookupError):
        async with (
            scripted_upstream(plain) as upstream,
            living_proxy(tmp_path / "s.db", upstream.url) as proxy,
            RawClient.connect(proxy.port) as client,
        ):
            proxy.app._recorder._commits.write = defect  # type: ignore[method-assign]  # broken
            await client.post("/v1/chat/completions", CHAT)
            _, headers = await client.head()
            assert completion() == await client.body(headers)
            assert "no" == headers["x-spiritsafe-recorded"]
            assert (503, b"storage is failing\n") == await ask(proxy, "/readyz")
            (told,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
            assert "the recorder stopped: LookupError" in told.getMessage()
            assert "words of a body" not in told.getMessage()


async def test_a_link_to_the_file_leads_to_the_same_secret(tmp_path: Path) -> None:
    """A second secret would make other projects of the same keys."""
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "s.db")
    secrets = set()
    for db in (link, tmp_path / "s.db"):
        async with (
            scripted_upstream(plain) as upstream,
            living_proxy(db, upstream.url),
        ):
            secrets.add((tmp_path / "s.db.secret").read_text())
    assert 1 == len(secrets)
    assert [link] == list(link.parent.iterdir())


async def test_it_is_not_ready_while_draining(tmp_path: Path) -> None:
    async with (
        scripted_upstream(plain) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url) as proxy,
    ):
        proxy.app.draining = True
        assert (503, b"draining\n") == await ask(proxy, "/readyz")
