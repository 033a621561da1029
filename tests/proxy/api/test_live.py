"""Exchanges are told as they end, to those who may see them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.api import live, models
from tests.living import RawClient, living_proxy
from tests.proxy.api.served import TOKEN, ask, refusal, served
from tests.scripted_upstream import (
    DONE,
    SSE_HEAD,
    RawRequest,
    Wire,
    delta,
    scripted_upstream,
)

pytestmark = pytest.mark.anyio
TAIL = "/api/exchanges/tail"
LIST = "/api/exchanges"


class Events:
    """The events of one stream, as a browser would read them."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self.lines = lines
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """Return the name and the data of the next event."""
        fields: dict[str, str] = {}
        async for line in self.lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            if name:
                fields[name] = value
            elif "data" in fields:
                return fields.get("event", ""), json.loads(fields["data"])
            else:
                fields = {}
        raise EOFError

    async def ids(self, count: int) -> list[str]:
        """Return the ids of so many exchanges."""
        found = [await self.next() for _ in range(count)]
        assert {"exchange"} == {name for name, _ in found}
        return [models.Row.model_validate(data).id for _, data in found]


@asynccontextmanager
async def tail(
    client: httpx.AsyncClient, *, q: str = "", last_id: str = ""
) -> AsyncIterator[Events]:
    headers = {"last-event-id": last_id} if last_id else {}
    async with client.stream(
        "GET", TAIL, params={"q": q}, headers=headers, timeout=30
    ) as answer:
        assert 200 == answer.status_code
        assert "text/event-stream" == answer.headers["content-type"]
        lines = answer.aiter_lines()
        events = Events(lines)
        async for line in lines:  # it begins once the place is taken
            if line.startswith("id: "):
                events.last_id = line.removeprefix("id: ")
                break
        yield events


async def test_each_sees_its_own_as_they_end(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as to,
        tail(to.alice) as hers,
        tail(to.bob) as his,
        tail(to.console) as all_of_it,
    ):
        told = [await ask(to.alice, "one"), await ask(to.bob, "two")]
        told.append(await ask(to.alice, "three"))
        assert [told[0], told[2]] == await hers.ids(2)
        assert [told[1]] == await his.ids(1)
        assert told == await all_of_it.ids(3)


async def test_a_filter_chooses_among_them(tmp_path: Path) -> None:
    async with served(tmp_path) as to, tail(to.alice, q="poem model:m-2") as events:
        await ask(to.alice, "a poem")
        await ask(to.alice, "a letter", model="m-2")
        wanted = await ask(to.alice, "a poem", model="m-2")
        assert [wanted] == await events.ids(1)


async def test_one_goes_on_where_one_left_off(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        async with tail(to.alice) as events:
            first = await ask(to.alice, "one")
            assert [first] == await events.ids(1)
            last_id = events.last_id
        missed = [await ask(to.alice, f"missed {at}") for at in range(3)]
        async with tail(to.alice, last_id=last_id) as events:
            assert missed == await events.ids(3)


@pytest.mark.parametrize(
    "last_id", ["x", "1-2", "1-2-3-4", "-1-2-3", "1-2-" + "9" * 40, "999999-0-0"]
)
async def test_an_id_of_no_event_gets_400(last_id: str, tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        answer = await to.alice.get(TAIL, headers={"last-event-id": last_id})
        assert (400, "invalid_value", "last-event-id") == refusal(answer)


async def test_what_runs_long_is_told_at_its_end_also_to_who_was_away(
    tmp_path: Path,
) -> None:
    """It has its number long before, and others overtake it."""
    goes_on = asyncio.Event()

    async def script(request: RawRequest, wire: Wire) -> None:
        if request.json.get("stream"):
            first = delta("slow")
            await wire.send(SSE_HEAD, b"%x\r\n%b\r\n" % (len(first), first))
            await goes_on.wait()
            rest = delta("ly", "stop") + DONE
            await wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
        else:
            await wire.answer(b"{}")

    async with (
        scripted_upstream(script) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url, console_token=TOKEN) as proxy,
        RawClient.connect(proxy.port) as slow,
        httpx.AsyncClient(
            base_url=proxy.url, headers={"authorization": f"Bearer {TOKEN}"}
        ) as client,
    ):
        body = b'{"model": "m", "stream": true, "messages": []}'
        await slow.post("/v1/chat/completions", body)
        _, headers = await slow.head()
        async with tail(client, q="state:complete") as events:
            noted = False
            while not noted:
                noted = bool((await client.get(LIST)).json()["data"])
            quick = await ask(client, "quick")
            assert [quick] == await events.ids(1)
            last_id = events.last_id
        goes_on.set()
        await slow.body(headers)
        async with tail(client, last_id=last_id) as events:
            found = {*await events.ids(1)}
            while headers["x-spiritsafe-id"] not in found:
                found |= {*await events.ids(1)}  # what ended about then comes again


async def test_it_ends_when_the_server_stops(tmp_path: Path) -> None:
    async with served(tmp_path, drain_s=20) as to, tail(to.alice) as events:
        to.proxy.app.draining = True
        with pytest.raises(EOFError):
            await events.next()


async def test_only_so_many_follow_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_AT_ONCE", 1)
    async with served(tmp_path) as to:
        async with tail(to.alice):
            answer = await to.bob.get(TAIL)
            assert (503, "proxy_busy", None) == refusal(answer)
        while True:  # until it is noticed that she has left
            async with to.bob.stream("GET", TAIL) as stream:
                if stream.status_code == 200:
                    break


async def test_silence_is_filled_with_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SILENCE_S", 0.2)
    async with served(tmp_path) as to, tail(to.alice) as events:
        async for line in events.lines:
            if line == ":":
                break
        name = await ask(to.alice, "still there")
        assert [name] == await events.ids(1)


async def test_asked_for_its_head_it_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        answer = await to.alice.head(TAIL)
        assert (200, b"") == (answer.status_code, answer.content)
