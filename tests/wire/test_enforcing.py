"""Policies: what becomes of an answer that its schema does not describe."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.schemas import Policy
from tests.scripted_upstream import DONE, RawRequest, Wire, completion, delta
from tests.wire.judging import (
    ALL,
    RIGHT,
    TOOL,
    WRONG,
    asked,
    asking,
    followed,
    registered,
    saying,
)
from tests.wire.scene import CHAT_PATH, scene

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("policy", ["enforce", "repair"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_invalid_answer_becomes_an_error_that_says_where(
    tmp_path: Path, policy: Policy, *, stream: bool
) -> None:
    await registered(tmp_path / "s.db", ALL, policy=policy, attempts=0)
    async with scene(tmp_path, saying(WRONG)) as it:
        status, headers, data = await asked(it, asking(stream=stream))
        assert 502 == status
        assert "answer_does_not_match_schema" == headers["x-spiritsafe-error"]
        assert ("false", "invalid", "yes") == (
            headers["x-should-retry"],
            headers["x-spiritsafe-verdict"],
            headers["x-spiritsafe-recorded"],
        )
        error = json.loads(data)["error"]
        assert "answer_does_not_match_schema" == error["code"]
        (fault,) = error["faults"]
        assert ("/choices/0/message/content", "invoice@1", "/price") == (
            fault["slot"],
            fault["schema"],
            fault["at"],
        )
        kept = await it.one()
        assert headers["x-spiritsafe-id"] == kept.row.id
        assert (200, "complete", "invalid") == (
            kept.row.status,
            kept.row.state,
            kept.row.verdict,
        )
        assert ["enforced"] == followed(kept)
        assert WRONG[8:] in kept.answer.decode().replace("\\", "")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_valid_answer_passes_byte_for_byte(
    tmp_path: Path, *, stream: bool
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="enforce")
    async with scene(tmp_path, saying(RIGHT)) as it:
        status, headers, data = await asked(it, asking(stream=stream))
        assert (200, "valid") == (status, headers["x-spiritsafe-verdict"])
        kept = await it.one()
        assert (kept.answer, ()) == (data, kept.flags)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"finish_reason": "length", "message": {"content": RIGHT[:5]}}, "truncated"),
        ({"message": {"content": None, "refusal": "no"}}, "refused"),
        ({"message": {"content": "I cannot.", "refusal": "no"}}, "refused"),
    ],
)
async def test_what_is_truncated_or_refused_passes(
    tmp_path: Path, answer: dict[str, Any], verdict: str
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="enforce")
    body = json.dumps({"id": "c", "choices": [{"index": 0, **answer}]}).encode()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(body)

    async with scene(tmp_path, script) as it:
        status, headers, data = await asked(it, asking())
        assert (200, body, verdict) == (status, data, headers["x-spiritsafe-verdict"])


@pytest.mark.parametrize(
    ("said", "verdict"),
    [(RIGHT[:5], "truncated"), (RIGHT, "valid"), (WRONG, "invalid")],
)
async def test_a_held_stream_that_breaks_off_is_the_upstreams_error(
    tmp_path: Path, said: str, verdict: str
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta(said), end=False)
        wire.close()

    async with scene(tmp_path, script) as it:
        status, headers, _ = await asked(it, asking(stream=True))
        assert (502, "upstream_truncated") == (status, headers["x-spiritsafe-error"])
        assert "x-spiritsafe-verdict" not in headers  # the error is no such answer
        kept = await it.one()
        assert ("incomplete", verdict) == (kept.row.state, kept.row.verdict)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_too_long_to_be_held_passes_as_it_comes(
    tmp_path: Path, *, stream: bool
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair")
    words = [f"word {number} " * 9 for number in range(60)]

    async def script(_: RawRequest, wire: Wire) -> None:
        if stream:
            await wire.events(*map(delta, words), delta("", "stop"), DONE)
            return
        body = completion("".join(words))
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n"
        await wire.send(head.encode())
        await wire.trickle(body, size_bytes=500)

    async with scene(tmp_path, script, max_kept_answer_bytes=2000) as it:
        status, headers, data = await asked(it, asking(stream=stream))
        assert (200, None) == (status, headers.get("x-spiritsafe-verdict"))
        assert words[-1].strip().encode() in data
        if stream:
            assert data.endswith(DONE)
            assert b"".join(map(delta, words)) in data
        kept = await it.one()
        assert ("incomplete", "too_large") == (kept.row.state, kept.row.reason)
        (judged,) = kept.judgements
        assert ("unchecked", "not_kept") == (judged.verdict, judged.reason)


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"choices":[]}', b'{"choices":[7]}', b""]
)
async def test_an_answer_with_nothing_to_read_is_invalid(
    tmp_path: Path, body: bytes
) -> None:
    await registered(tmp_path / "s.db", ALL, policy="repair", attempts=1)

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(body)

    async with scene(tmp_path, script) as it:
        for path in (CHAT_PATH, "/v1/responses"):
            status, headers, data = await asked(it, asking(input="how?"), path=path)
            assert (502, "invalid") == (status, headers["x-spiritsafe-verdict"])
            assert "2" == headers["x-spiritsafe-attempts"]
            (fault,) = json.loads(data)["error"]["faults"]
            assert ("", True) == (fault["at"], "JSON" in fault["message"])


async def test_what_cannot_be_read_here_passes(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", ALL, policy="enforce")

    async def script(_: RawRequest, wire: Wire) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-encoding: odd\r\ncontent-length: 4\r\n\r\n"
        await wire.send(head + b"what")

    async with scene(tmp_path, script) as it:
        assert 200 == (await asked(it, asking()))[0]
        assert (await it.one()).row.verdict is None


async def test_where_only_calls_are_judged_an_empty_answer_passes(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, saying("")) as it:
        assert 200 == (await asked(it, asking(tools=[TOOL])))[0]
        assert (await it.one()).row.verdict is None
