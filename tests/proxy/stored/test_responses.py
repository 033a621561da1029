"""Responses read back: the upstream's where it has them, ours where it has no such API."""

import asyncio
import json
import threading
from pathlib import Path

import pytest

from proxy.stored import completions
from storage.reading import open_library
from tests.proxy.stored.scene import ALICE, BOB, Answer, Reading, answer_to, reading
from tests.scripted_upstream import RawRequest, Script, Wire

pytestmark = pytest.mark.anyio

TURNS = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "hello"},
    {"type": "function_call_output", "call_id": "c", "output": "1", "id": "fco_1"},
]


async def respond(here: Reading, key: str | None = ALICE, **members: object) -> str:
    """Record one response; return its id."""
    asked = {"model": "m-1", "input": TURNS, **members}
    answer = await here.ask("POST", "/v1/responses", asked, key=key)
    assert 200 == answer.status, answer.body
    return str(answer.json["id"])


def reads_back(status: int, body: bytes) -> Script:
    """Return an upstream that answers all but POST like this."""

    async def script(request: RawRequest, wire: Wire) -> None:
        if request.head.startswith(b"POST") and request.target.endswith(b"responses"):
            await wire.answer(json.dumps(answer_to(request, 1)).encode())
        else:
            await wire.answer(body, status=status)

    return script


async def test_a_response_is_read_back_where_the_upstream_has_no_such_path(
    tmp_path: Path,
) -> None:
    async with reading(tmp_path) as here:
        name = await respond(here, metadata={"task": "x"})
        told = await here.ask("GET", f"/v1/responses/{name}?include[]=reasoning")
        assert (name, "response", "completed", {"task": "x"}) == tuple(
            told.json[key] for key in ("id", "object", "status", "metadata")
        )
        items = await here.ask("GET", f"/v1/responses/{name}/input_items?limit=2")
        assert ["fco_1", f"{name}-1"] == [it["id"] for it in items.json["data"]]
        assert items.json["has_more"]
        rest = await here.ask(
            "GET", f"/v1/responses/{name}/input_items?order=asc&after={name}-1"
        )
        assert ["fco_1"] == [it["id"] for it in rest.json["data"]]
        gone = await here.ask("DELETE", f"/v1/responses/{name}")
        assert {"id": name, "object": "response", "deleted": True} == gone.json
        again = await here.ask("GET", f"/v1/responses/{name}")
        assert (404, b'{"detail":"Not Found"}') == (again.status, again.body)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"404 page not found"),
        (404, b"Cannot GET /v1/responses/resp_1"),
        (405, b'{"error":{"message":"method not allowed"}}'),
        (501, b""),
    ],
)
async def test_an_upstream_says_in_many_ways_that_it_has_no_such_path(
    tmp_path: Path, status: int, body: bytes
) -> None:
    async with reading(tmp_path) as here:
        here.upstream.script = reads_back(status, body)
        name = await respond(here)
        assert 200 == (await here.ask("GET", f"/v1/responses/{name}")).status
        foreign = await here.ask("GET", f"/v1/responses/{name}", key=BOB)
        assert (status, body) == (foreign.status, foreign.body)
        nobody = await here.ask("GET", f"/v1/responses/{name}", key=None)
        assert (401, None, "missing_api_key") == nobody.error


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b'{"id":"resp_1","from":"upstream"}'),
        (404, b'{"error":{"message":"Response with id \'resp_1\' not found."}}'),
        (404, b"x" * 100_000),
        (429, b"{}"),
        (500, b""),
    ],
)
async def test_what_an_upstream_says_of_a_response_it_knows_is_passed_on(
    tmp_path: Path, status: int, body: bytes
) -> None:
    async with reading(tmp_path) as here:
        here.upstream.script = reads_back(status, body)
        name = await respond(here)
        for method in ("GET", "DELETE"):
            told = await here.ask(method, f"/v1/responses/{name}")
            assert (status, body) == (told.status, told.body)
        assert 3 == len(here.upstream.requests)


async def test_a_call_that_we_do_not_serve_is_passed_on(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        name = await respond(here)
        for method, path in (
            ("POST", f"/{name}/cancel"),
            ("GET", "/a/b/c"),
            ("PUT", "/a"),
        ):
            told = await here.ask(method, f"/v1/responses{path}")
            assert (404, b'{"detail":"Not Found"}') == (told.status, told.body)
        assert 4 == len(here.upstream.requests)


async def test_what_ours_cannot_do_is_said(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        name = await respond(here)
        for query, param in (("?stream=true", "stream"), ("?a=b", "a")):
            told = await here.ask("GET", f"/v1/responses/{name}{query}")
            assert (400, param, "unknown_parameter") == told.error
        odd = await here.ask("GET", f"/v1/responses/{name}/input_items?after=x")
        assert (404, b'{"detail":"Not Found"}') == (odd.status, odd.body)


TOKENS = ALICES, BOBS = "tok-alice-0123456789", "tok-bob-012345678901"


async def test_where_our_key_opens_all_each_caller_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upstream that reads back tells its one customer everything: we ask first."""
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    async with reading(tmp_path, tokens=TOKENS) as here:
        here.upstream.script = reads_back(200, b'{"secret":"of alice"}')
        name = await respond(here, key=ALICES)
        for method, path in (
            ("GET", ""),
            ("HEAD", ""),
            ("DELETE", ""),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
        ):
            mine = await here.ask(method, f"/v1/responses/{name}{path}", key=ALICES)
            assert 200 == mine.status, path
            sent = len(here.upstream.requests)
            his = await here.ask(method, f"/v1/responses/{name}{path}", key=BOBS)
            assert 404 == his.status, path
            assert b"secret" not in his.body
            assert sent == len(here.upstream.requests)
        sent = len(here.upstream.requests)
        switch = ("upgrade: websocket", "connection: upgrade")
        his = await here.ask("GET", f"/v1/responses/{name}", None, *switch, key=BOBS)
        assert 404 == his.status
        assert sent == len(here.upstream.requests)
        assert "Bearer sk-held-0123456789abcdef" == here.upstream.requests[-1].headers["authorization"]  # fmt: skip


async def test_where_our_key_opens_all_nobody_goes_on_from_anothers_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    async with reading(tmp_path, tokens=TOKENS) as here:
        name = await respond(here, key=ALICES)
        asked = {"model": "m", "input": "repeat it", "previous_response_id": name}
        for record in ("on", "off"):
            his = await here.ask(
                "POST",
                "/v1/responses",
                asked,
                f"x-spiritsafe-record: {record}",
                key=BOBS,
            )
            assert (400, "previous_response_id", "previous_response_not_found") == his.error  # fmt: skip
        assert 1 == len(here.upstream.requests)
        await respond(here, key=ALICES, previous_response_id=name)
        await respond(here, key=BOBS, previous_response_id="resp_of_before")


@pytest.mark.parametrize("path", ["compact", "input_tokens"])
async def test_where_our_key_opens_all_nobody_reads_anothers_response_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    async with reading(tmp_path, tokens=TOKENS) as here:
        here.upstream.script = reads_back(200, b"{}")
        name = await respond(here, key=ALICES)
        asked = {"model": "m", "previous_response_id": name}
        at = f"/v1/responses/{path}"
        his = await here.ask("POST", at, asked, key=BOBS)
        assert (400, "previous_response_id", "previous_response_not_found") == his.error  # fmt: skip
        assert 1 == len(here.upstream.requests)
        assert 200 == (await here.ask("POST", at, asked, key=ALICES)).status
        assert asked == here.upstream.requests[-1].json
        with open_library(here.proxy.db) as library:
            assert 1 == len(list(library.rows()))


async def test_where_our_key_opens_all_no_websocket_goes_on_from_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    switch = ("upgrade: websocket", "connection: upgrade")
    async with reading(tmp_path, tokens=TOKENS) as here:
        his = await here.ask("GET", "/v1/responses", None, *switch, key=BOBS)
        assert (404, None, "not_found") == his.error
        assert b"key of its own" in his.body
        assert [] == here.upstream.requests


async def test_who_goes_on_from_a_response_waits_for_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    done = threading.Event()
    both = threading.Barrier(3)  # the readers of lists, and who waits for them

    def slow(*_: object, **__: object) -> object:
        if not done.is_set():
            both.wait(30)
        done.wait(30)
        return {}, None

    monkeypatch.setattr(completions, "listed", slow)
    async with reading(tmp_path, tokens=TOKENS) as here, asyncio.TaskGroup() as tasks:
        name = await respond(here, key=ALICES)
        lists = [
            tasks.create_task(here.ask("GET", "/v1/chat/completions", key=BOBS))
            for _ in range(2)
        ]
        try:
            await asyncio.to_thread(both.wait, 30)
            await respond(here, key=ALICES, previous_response_id=name)
            assert not any(it.done() for it in lists)
        finally:
            done.set()


async def test_whose_response_cannot_be_told_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    async with reading(tmp_path, tokens=TOKENS) as here:
        name = await respond(here, key=ALICES)
        asked = {"model": "m", "input": "go on", "previous_response_id": name}
        away = here.proxy.db.with_name("away.db")
        here.proxy.db.rename(away)
        told = await here.ask("POST", "/v1/responses", asked, key=ALICES)
        assert (503, "proxy_busy") == (told.status, told.json["error"]["code"])
        assert 1 == len(here.upstream.requests)
        away.rename(here.proxy.db)
        await respond(here, key=ALICES, previous_response_id=name)


async def test_s06_a_wrong_token_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none goes on to an upstream that takes its callers' own keys."""
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")

    def refused(answer: Answer) -> None:
        assert (401, None, "invalid_api_key") == answer.error

    async with reading(tmp_path, tokens=TOKENS) as here:
        chat = {"model": "m", "messages": []}
        for key in (ALICE, "", ALICES + "x", ALICES[:-1], None):
            refused(await here.ask("POST", "/v1/chat/completions", chat, key=key))
            refused(await here.ask("GET", "/v1/models", key=key))
            for path in ("/v1/chat/completions", "/v1/responses/r"):
                assert 401 == (await here.ask("GET", path, key=key)).status
            assert (
                401
                == (
                    await here.ask(
                        "GET",
                        "/v1/realtime",
                        None,
                        "upgrade: websocket",
                        "connection: upgrade",
                        key=key,
                    )
                ).status
            )
        refused(await here.ask("GET", "/other/v1/models", key=ALICES))
        assert [] == here.upstream.requests
        assert 404 == (await here.ask("GET", "/other/v1/models", key=ALICE)).status
        await here.chat(key=ALICES)
        assert 1 == len(await here.ids(key=ALICES))
        assert [] == await here.ids(key=BOBS)


@pytest.mark.parametrize("spelled", ["conv_1", {"id": "conv_1"}])
async def test_where_our_key_opens_all_nobody_uses_anothers_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: object
) -> None:
    """Neither to go on with it, nor at any path that names it."""
    monkeypatch.setenv("HELD_KEY", "sk-held-0123456789abcdef")
    async with reading(tmp_path, tokens=TOKENS) as here:
        here.upstream.script = reads_back(200, b"{}")
        await respond(here, key=ALICES, conversation=spelled)
        asked = {"model": "m", "input": "repeat it", "conversation": spelled}
        for record in ("on", "off"):
            told = f"x-spiritsafe-record: {record}"
            his = await here.ask("POST", "/v1/responses", asked, told, key=BOBS)
            assert (400, "conversation", "conversation_not_found") == his.error
        for path in (
            "/v1/conversations/conv_1",
            "/v1/conversations/conv_1/items?limit=9",
            "/v1/Conversations//conv%5F1/items",
            "/v1/%63onversations/conv_1/",
        ):
            his = await here.ask("GET", path, key=BOBS)
            assert (400, "conversation", "conversation_not_found") == his.error
            switch = ("upgrade: websocket", "connection: upgrade")
            his = await here.ask("GET", path, None, *switch, key=BOBS)
            assert (404, None, "not_found") == his.error
        assert 1 == len(here.upstream.requests)
        await here.ask("GET", "/v1/conversations/conv_1", key=ALICES)
        await here.ask("POST", "/v1/conversations", {}, key=BOBS)
        assert 3 == len(here.upstream.requests)
        await respond(here, key=ALICES, conversation=spelled)
        await respond(here, key=BOBS, conversation="conv_of_before")


async def test_a_conversation_is_its_upstreams_where_callers_bring_their_keys(
    tmp_path: Path,
) -> None:
    async with reading(tmp_path) as here:
        await respond(here, key=ALICE, conversation="conv_1")
        await respond(here, key=BOB, conversation="conv_1")
        await here.ask("GET", "/v1/conversations/conv_1", key=BOB)
        assert 3 == len(here.upstream.requests)
