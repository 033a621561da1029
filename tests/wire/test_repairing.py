"""Repair: the upstream is asked again, and the client never knows."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.locking import locked
from tests.scripted_upstream import RawRequest, Script, Wire, completion
from tests.storage.test_recorder import rows
from tests.wire.judging import (
    ALL,
    RIGHT,
    TOOL,
    WRONG,
    asked,
    asking,
    calling,
    followed,
    registered,
    saying,
)
from tests.wire.scene import CHAT_PATH, scene

pytestmark = pytest.mark.anyio

RESPONSES_PATH = "/v1/responses"


async def test_repair_gives_the_first_valid_answer_as_if_it_were_the_only_one(
    tmp_path: Path,
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    for stream in (False, True):
        folder = tmp_path / str(stream)
        folder.mkdir()
        await registered(folder / "s.db", ALL, policy="repair")
        async with scene(folder, saying(WRONG, "not even JSON", RIGHT)) as it:
            status, headers, data = await asked(it, asking(stream=stream))
            kept = await it.settled()
            assert (200, kept[-1].answer) == (status, data)
            assert ("valid", "3", kept[-1].row.id) == (
                headers["x-spiritsafe-verdict"],
                headers["x-spiritsafe-attempts"],
                headers["x-spiritsafe-id"],
            )
            if not stream:
                assert {"prompt_tokens": 9, "completion_tokens": 3} == json.loads(
                    headers["x-spiritsafe-usage"]
                )
            assert ["invalid", "invalid", "valid"] == [one.row.verdict for one in kept]
            told = [followed(one) for one in kept]
            assert [["asked_again"], ["asked_again"], [""]] == told
            first, second, third = (
                each.json["messages"] for each in it.upstream.requests
            )
            assert [{"role": "assistant", "content": WRONG}] == second[len(first) : -1]
            assert second == third[: len(second)]
            assert ("user", True) == (
                second[-1]["role"],
                "/price" in second[-1]["content"],
            )
            accounts = await it.accounts()
            assert (3, True) == (accounts.complete, accounts.balanced)
        assert [(2, 1, 1, "proxy"), (3, 2, 1, "proxy")] == rows(
            folder / "s.db", "SELECT * FROM reasks"
        )


async def test_after_the_last_attempt_the_error_is_that_of_the_last(
    tmp_path: Path,
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair", attempts=1)
    async with scene(tmp_path, saying(WRONG, '{"cost": 1}')) as it:
        status, headers, data = await asked(it, asking())
        assert (502, "2") == (status, headers["x-spiritsafe-attempts"])
        assert "cost" in str(json.loads(data)["error"]["faults"])
        told = [followed(one) for one in await it.settled()]
        assert [["asked_again"], ["enforced"]] == told


async def test_a_call_is_asked_for_again_by_its_tool_message(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    answers = [calling(WRONG), calling(RIGHT)]

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answers.pop(0))

    async with scene(tmp_path, script) as it:
        status, _, data = await asked(it, asking(tools=[TOOL], tool_choice="required"))
        assert (200, calling(RIGHT)) == (status, data)
        before, after = (each.json["messages"] for each in it.upstream.requests)
        wrong, told = after[len(before) :]
        assert WRONG == wrong["tool_calls"][0]["function"]["arguments"]
        assert ("tool", "call_1") == (told["role"], told["tool_call_id"])
        assert "/price" in told["content"]


@pytest.mark.parametrize("pieces", [False, True])
async def test_a_failure_of_an_attempt_is_the_answer(
    tmp_path: Path, *, pieces: bool
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    said = []

    async def script(request: RawRequest, wire: Wire) -> None:
        said.append(request)
        if len(said) == 1:
            await wire.answer(completion(WRONG))
        elif pieces:
            await wire.send(b"HTTP/1.1 429 No\r\ncontent-length: 33\r\n\r\n")
            await wire.trickle(b'{"error":{"message":"slow down"}}', size_bytes=11)
        else:
            await wire.answer(b'{"error":{"message":"slow down"}}', status=429)

    async with scene(tmp_path, script) as it:
        status, headers, data = await asked(it, asking(), "idempotency-key: one")
        assert (429, b'{"error":{"message":"slow down"}}') == (status, data)
        assert "2" == headers["x-spiritsafe-attempts"]
        assert 3 == json.loads(headers["x-spiritsafe-usage"])["prompt_tokens"]
        assert "x-spiritsafe-verdict" not in headers
        assert [True, False] == ["idempotency-key" in each.headers for each in said]


@pytest.mark.parametrize("before", [1, 2])
async def test_nobody_is_asked_again_once_the_client_has_left(
    tmp_path: Path, before: int
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair", attempts=5)
    asked_last, go = asyncio.Event(), asyncio.Event()

    async def script(_: RawRequest, wire: Wire) -> None:
        if len(it.upstream.requests) == before:
            asked_last.set()
            await go.wait()
        await wire.answer(completion(WRONG))

    async with scene(tmp_path, script) as it:
        async with it.client() as client:
            await client.post(CHAT_PATH, asking())
            await asked_last.wait()
            client.reset()
        go.set()
        kept = await it.settled()
        assert before == len(it.upstream.requests) == len(kept)
        assert "client_left" in kept[-1].flags


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("before", [1, 2])
async def test_nobody_is_asked_again_once_the_client_has_sent_fin(
    tmp_path: Path, before: int, *, stream: bool
) -> None:
    """It may have left. Where it has not, it gets what `enforce` gives."""
    await registered(tmp_path / "s.db", ALL, policy="repair", attempts=5)
    asked_last, go = asyncio.Event(), asyncio.Event()
    wrong = saying(WRONG)

    async def script(request: RawRequest, wire: Wire) -> None:
        if len(it.upstream.requests) == before:
            asked_last.set()
            await go.wait()
        await wrong(request, wire)

    async with scene(tmp_path, script) as it, it.client() as client:
        await client.post(CHAT_PATH, asking(stream=stream))
        await asked_last.wait()
        client.writer.write_eof()
        await it.accounts()
        go.set()
        status, headers = await client.head()
        assert (502, str(before)) == (status, headers["x-spiritsafe-attempts"])
        kept = await it.settled()
        assert before == len(it.upstream.requests) == len(kept)
        assert ["enforced"] == followed(kept[-1])


@pytest.mark.parametrize(
    ("policy", "status"), [("fail_closed", 503), ("fail_open", 200)]
)
async def test_d8_under_fail_closed_alone_a_repair_needs_its_attempts_stored(
    tmp_path: Path, policy: str, status: int
) -> None:
    """What is not stored is withheld then, and nothing is asked in its place."""
    await registered(tmp_path / "s.db", ALL, policy="repair")
    limits: dict[str, Any] = {"max_spool_bytes": 0, "reserve_bytes": 0}
    async with scene(
        tmp_path,
        saying(WRONG, RIGHT),
        on_storage_failure=policy,
        hold_timeout_s=0.2,
        **limits,
    ) as it:
        with locked(it.db):
            told, headers, _ = await asked(it, asking())
        assert (status, "no") == (told, headers["x-spiritsafe-recorded"])
        assert (1 if status == 503 else 2) == len(it.upstream.requests)


async def test_who_leaves_during_the_commit_has_nothing_asked_again(
    tmp_path: Path,
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    async with scene(tmp_path, saying(WRONG)) as it:
        async with it.client() as client:
            with locked(it.db):
                await client.post(CHAT_PATH, asking())
                await it.something_waits()
                client.reset()
                await it.accounts()
        (kept,) = await it.settled()
        assert 1 == len(it.upstream.requests)
        assert ["enforced"] == followed(kept)


async def test_what_follows_is_told_where_the_content_is_not_kept(
    tmp_path: Path,
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair", attempts=1)
    async with scene(tmp_path, saying(WRONG)) as it:
        assert 502 == (await asked(it, asking(store=False)))[0]
        kept = await it.settled()
        assert [0, 0] == [one.row.content_kept for one in kept]
        assert [["asked_again"], ["enforced"]] == [followed(one) for one in kept]


async def test_fin_during_the_commit_gives_what_enforce_gives(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    async with scene(tmp_path, saying(WRONG)) as it, it.client() as client:
        with locked(it.db):
            await client.post(CHAT_PATH, asking())
            await it.something_waits()
            client.writer.write_eof()
            await it.accounts()
        status, headers = await client.head()
        assert (502, "invalid") == (status, headers["x-spiritsafe-verdict"])
        assert 1 == len(it.upstream.requests)
        assert ["enforced"] == followed(await it.one())


def once(then: Script) -> Script:
    """Answer wrongly, and then as `then` does."""
    answered = False

    async def script(request: RawRequest, wire: Wire) -> None:
        nonlocal answered
        if answered:
            await then(request, wire)
        else:
            answered = True
            await wire.answer(completion(WRONG))

    return script


async def test_every_attempt_has_the_time_that_any_exchange_has(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")

    async def silent(_: RawRequest, wire: Wire) -> None:
        await wire.left()

    limits = {"first_byte_timeout_s": 0.3}
    async with scene(tmp_path, once(silent), limits=limits) as it:
        status, headers, _ = await asked(it, asking())
        assert (504, "2") == (status, headers["x-spiritsafe-attempts"])
        kept = await it.settled()
        assert [None, "timeout"] == [one.row.reason for one in kept]


async def test_an_attempt_that_a_stop_cuts_off_is_accounted_for(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    asked_again = asyncio.Event()

    async def silent(_: RawRequest, wire: Wire) -> None:
        asked_again.set()
        await wire.left()

    async with scene(tmp_path, once(silent), drain_s=0) as it, it.client() as client:
        await client.post(CHAT_PATH, asking())
        await asked_again.wait()
        it.proxy.stop()
        assert b"" == await client.rest()
    first, second = it.kept()
    assert ("complete", "invalid") == (first.row.state, first.row.verdict)
    assert "proxy_shutdown" == second.row.reason


@pytest.mark.parametrize("stream", [False, True])
async def test_responses_are_mended_too(tmp_path: Path, *, stream: bool) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    texts = [WRONG, RIGHT]

    async def script(_: RawRequest, wire: Wire) -> None:
        part = {"type": "output_text", "text": texts.pop(0), "annotations": []}
        message = {"type": "message", "role": "assistant", "content": [part]}
        made = {"id": "r", "object": "response", "status": "completed"}
        response = {**made, "model": "m-1", "output": [message]}
        if not stream:
            await wire.answer(json.dumps(response).encode())
            return
        event = {"type": "response.completed", "response": response}
        data = json.dumps(event).encode()
        await wire.events(b"event: response.completed\ndata: " + data + b"\n\n")

    async with scene(tmp_path, script) as it:
        body = json.dumps({"model": "m-1", "input": "how much?", "stream": stream})
        status, headers, data = await asked(it, body.encode(), path=RESPONSES_PATH)
        assert (200, "valid") == (status, headers["x-spiritsafe-verdict"])
        first, second = await it.settled()
        assert data == second.answer
        assert "/output/0/content/0/text" == first.judgements[0].slot
        told = it.upstream.requests[1].json["input"]
        assert [
            ("user", "how much?"),
            ("assistant", WRONG),
        ] == [(each["role"], each["content"]) for each in told[:2]]
        assert "/price" in told[2]["content"]
