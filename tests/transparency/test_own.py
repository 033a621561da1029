"""What the proxy answers itself: errors, health, and numbers that add up (P3)."""

import asyncio
import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.living import RawClient
from tests.scripted_upstream import CHAT, RawRequest, Wire, completion
from tests.transparency.standing import Standing, standing
from tests.transparency.wire import PLAIN, ask, chat, request

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/v2/chat/completions",
        b"/nobody/v1/models",
        b"/chat/completions",
        b"/v1x",
    ],
)
async def test_an_unknown_route_is_not_found(tmp_path: Path, target: bytes) -> None:
    """With 404 in OpenAI's envelope, marked as our own, and no reason to retry."""
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, request("POST", target, body=CHAT))
        assert (404, [b"not_found"]) == (got.status, got.values(b"x-spiritsafe-error"))
        assert [b"false"] == got.values(b"x-should-retry")
        error = json.loads(got.body)["error"]
        assert ("invalid_request_error", "not_found") == (error["type"], error["code"])
        assert "/v1/" in error["message"]
        assert 0 == at.upstream.connections


async def test_another_method_on_a_captured_path_is_relayed(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        for method in ("DELETE", "PUT", "PATCH"):
            got = await ask(at.client, request(method, b"/v1/chat/completions"))
            assert (200, completion()) == (got.status, got.body)
            assert at.asked.head.startswith(method.encode() + b" /v1/chat/")
            assert [] == got.values(b"x-spiritsafe-id")


async def test_health_and_readiness_are_told(tmp_path: Path) -> None:
    """Ready until told to stop; a wrong method or path below is refused."""
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, request("GET", b"/healthz"))
        assert (200, b"ok\n") == (got.status, got.body)
        got = await ask(at.client, request("GET", b"/readyz?a=b"))
        assert (200, b"ready\n") == (got.status, got.body)
        at.proxy.app.draining = True
        got = await ask(at.client, request("GET", b"/readyz"))
        assert (503, b"draining\n") == (got.status, got.body)
        got = await ask(at.client, request("GET", b"/healthz"))
        assert 200 == got.status
        got = await ask(at.client, request("POST", b"/healthz", body=b""))
        assert 405 == got.status
        got = await ask(at.client, request("GET", b"/healthz/x"))
        assert 404 == got.status
        got = await ask(at.client, request("HEAD", b"/metrics"))
        assert (200, b"") == (got.status, got.body)
        assert 0 == at.upstream.connections


async def numbers(at: Standing) -> dict[str, float]:
    """Return every sample of /metrics, as Prometheus would read it."""
    async with RawClient.connect(at.proxy.port) as client:
        got = await ask(client, request("GET", b"/metrics"))
    assert [b"text/plain; version=0.0.4; charset=utf-8"] == got.values(b"content-type")
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(got.body.decode())
        for sample in family.samples
    }


def total(seen: dict[str, float], name: str) -> float:
    return sum(value for key, value in seen.items() if key.startswith(name + "["))


async def test_p3_the_exported_numbers_add_up_at_any_time(tmp_path: Path) -> None:
    """Accepted = complete + incomplete + unrecorded + in flight, also under way."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(request: RawRequest, wire: Wire) -> None:
        if b"wait" in request.body:
            asked.set()
            await go_on.wait()
            await wire.answer(completion())
        elif b"break" in request.body:
            wire.reset()
        else:
            await wire.answer(completion())

    async with standing(tmp_path, script) as at:
        for text in (b"hi", b"break", b"hi"):
            await ask(at.client, chat(CHAT.replace(b"hi", text)))
        await at.client.send(chat(CHAT.replace(b"hi", b"wait")))
        await asked.wait()
        await ask_and_count(at, in_flight=1, complete=2, incomplete=1)
        go_on.set()
        await at.client.reader.readuntil(completion())
        await ask_and_count(at, in_flight=0, complete=3, incomplete=1)
        async with RawClient.connect(at.proxy.port) as client:
            await ask(client, request("GET", b"/v1/models"))
        seen = await numbers(at)
    assert 1 == total(seen, "spiritsafe_relayed_total")
    assert 4 == total(seen, "spiritsafe_answers_total")
    assert 4 == total(seen, "spiritsafe_own_seconds_count")


async def ask_and_count(
    at: Standing, *, in_flight: int, complete: int, incomplete: int
) -> None:
    seen = await numbers(at)
    ended = total(seen, "spiritsafe_exchanges_total")
    assert complete + incomplete == ended
    assert in_flight == total(seen, "spiritsafe_exchanges_in_flight")
    assert ended + in_flight == total(seen, "spiritsafe_exchanges_accepted_total")
    name = "spiritsafe_exchanges_total[('reason', ''), ('state', 'complete')]"
    assert complete == seen[name]


async def test_the_numbers_tell_what_is_held_and_that_it_comes_back(
    tmp_path: Path,
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(request: RawRequest, wire: Wire) -> None:
        if b"wait" in request.body:
            asked.set()
            await go_on.wait()
        await wire.answer(completion())

    used, idle = (
        f"spiritsafe_upstream_connections[('state', '{state}'), ('upstream', 'default')]"
        for state in ("used", "idle")
    )
    async with standing(tmp_path, script) as at:
        before = await numbers(at)
        assert 0 == total(before, "spiritsafe_upstream_connections")
        assert 0 == total(before, "spiritsafe_upstream_waiting")
        await at.client.send(chat(CHAT.replace(b"hi", b"wait")))
        await asked.wait()
        during = await numbers(at)
        go_on.set()
        await at.client.reader.readuntil(completion())
        after = await numbers(at)
    assert (1, 0) == (during[used], during[idle])
    assert (0, 1) == (after[used], after[idle])
    assert 2 <= total(during, "spiritsafe_client_connections")
    assert 1 <= total(during, "spiritsafe_tasks")
