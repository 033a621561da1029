"""What clients see while storage fails: both policies, on the wire (D8, F-13, F-17)."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.living import RawClient
from tests.locking import locked
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    completion,
)
from tests.wire.scene import CHAT_PATH, Scene, scene, to_the_end
from tests.wire.test_holding import plainly, streaming

pytestmark = pytest.mark.anyio

NO_SPOOL: dict[str, Any] = {"max_spool_bytes": 0, "reserve_bytes": 0}
CLOSED: dict[str, Any] = {"on_storage_failure": "fail_closed", **NO_SPOOL}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No patience with locks, and a disk that is asked often whether it is back."""
    monkeypatch.setattr("storage.commits.LOCK_PATIENCE_NS", 0)
    monkeypatch.setattr("storage.recorder._IDLE_S", 0.01)


async def get(at: Scene, path: str) -> tuple[int, bytes]:
    async with at.client() as client:
        await client.send(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
        status, headers = await client.head()
        return status, await client.body(headers)


async def ask(client: RawClient, *lines: str) -> tuple[int, dict[str, str], bytes]:
    """Send a plain call; return the answer's status, headers and body."""
    await client.post(CHAT_PATH, CHAT, *lines)
    status, headers = await client.head()
    return status, headers, await client.body(headers)


async def test_d8_fail_closed_refuses_before_the_upstream_is_asked(
    tmp_path: Path,
) -> None:
    """And takes traffic again without a restart once the disk is back."""
    async with scene(tmp_path, plainly, **CLOSED) as at, at.client() as client:
        with locked(at.db):
            status, headers, _ = await ask(client)
            assert (503, "yes") == (
                status,
                headers["x-spiritsafe-upstream-contacted"],
            )
            assert "no" == headers["x-spiritsafe-recorded"]
            status, headers, body = await ask(client)
            told = json.loads(body)["error"]
            assert 503 == status
            assert "1" == headers["retry-after"]
            assert "no" == headers["x-spiritsafe-upstream-contacted"]
            assert "recorder_storage_failed" == headers["x-spiritsafe-error"]
            assert {"message", "type", "param", "code"} == set(told)
            assert 1 == len(at.upstream.requests)
            assert 503 == (await get(at, "/readyz"))[0]
        while (await get(at, "/readyz"))[0] != 200:
            pass
        status, headers, body = await ask(client)
        assert (200, "yes") == (status, headers["x-spiritsafe-recorded"])
        assert completion() == body
        accounts = await at.accounts()
    assert ({"storage_failed": 1}, 1) == (accounts.unrecorded, accounts.complete)
    assert accounts.balanced


async def test_d8_fail_closed_ends_a_stream_without_its_terminal_event(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, streaming, **CLOSED) as at, at.client() as client:
        with locked(at.db):
            await client.post(CHAT_PATH, STREAMED)
            status, _ = await client.head()
            raw, _ = await to_the_end(client)
    assert 200 == status
    assert b"two" in raw
    assert b"recorder_storage_failed" in raw
    assert DONE not in raw
    assert not raw.endswith(b"0\r\n\r\n")


async def test_f13_fail_closed_withholds_an_end_whose_commit_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold runs out; what is committed later is in the file, whole."""
    monkeypatch.setattr("storage.commits.LOCK_PATIENCE_NS", 60_000_000_000)
    settings = {**CLOSED, "hold_timeout_s": 0.05}
    async with scene(tmp_path, plainly, **settings) as at, at.client() as client:
        with locked(at.db):
            status, headers, _ = await ask(client)
            assert (503, "no") == (status, headers["x-spiritsafe-recorded"])
        (kept,) = await at.settled()
    assert "complete" == kept.row.state


async def test_d8_fail_open_goes_on_and_counts(tmp_path: Path) -> None:
    async with scene(tmp_path, plainly, **NO_SPOOL) as at, at.client() as client:
        with locked(at.db):
            for _ in range(4):
                status, headers, body = await ask(client)
                assert (200, "no") == (status, headers["x-spiritsafe-recorded"])
                assert completion() == body
            assert (await get(at, "/healthz"))[1].startswith(b"failed")
        while (await get(at, "/healthz"))[1] != b"ok\n":
            pass
        accounts = await at.accounts()
    assert ({"storage_failed": 4}, True) == (accounts.unrecorded, accounts.balanced)


async def test_d8_a_spooled_exchange_counts_as_stored(tmp_path: Path) -> None:
    async with scene(tmp_path, plainly) as at, at.client() as client:
        with locked(at.db):
            status, headers, body = await ask(client)
            assert (200, "yes") == (status, headers["x-spiritsafe-recorded"])
            assert completion() == body
            assert {"spooled": 1} == (await at.accounts()).unrecorded
        while (await at.accounts()).unrecorded:
            pass
        (kept,) = at.kept()
    assert "complete" == kept.row.state


async def test_d8_unrecorded_traffic_passes_while_fail_closed_refuses(
    tmp_path: Path,
) -> None:
    """What was never to be recorded needs no storage."""
    async with scene(tmp_path, plainly, **CLOSED) as at, at.client() as client:
        with locked(at.db):
            await ask(client)
            status, _, body = await ask(client, "x-spiritsafe-record: off")
    assert (200, completion()) == (status, body)


async def test_d8_fail_closed_stops_at_the_low_watermark(tmp_path: Path) -> None:
    """Before anything has failed: what is under way may still need the room."""
    nearly_all = 2**60  # no disk has as much: always low
    settings = {**CLOSED, "max_queue_bytes": nearly_all}
    async with scene(tmp_path, plainly, **settings) as at, at.client() as client:
        assert b"degraded: the disk is nearly full\n" == (await get(at, "/healthz"))[1]
        assert 503 == (await get(at, "/readyz"))[0]
        status, headers, _ = await ask(client)
        assert (503, "recorder_storage_low") == (status, headers["x-spiritsafe-error"])
        assert [] == at.upstream.requests
    (tmp_path / "open").mkdir()
    settings |= {"on_storage_failure": "fail_open"}
    async with (
        scene(tmp_path / "open", plainly, **settings) as at,
        at.client() as client,
    ):
        assert 200 == (await get(at, "/readyz"))[0]
        _, headers, body = await ask(client)
        assert completion() == body
        assert "yes" == headers["x-spiritsafe-recorded"]
