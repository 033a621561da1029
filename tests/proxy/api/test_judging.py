"""Schemas tried on recordings through `/api`: the operator's, and nothing is touched."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.api import registered
from tests.proxy.api.served import Served, ask, refusal, served

pytestmark = pytest.mark.anyio

PATH = "/api/schemas/words/versions/1/judgements"
DOCUMENT = {"type": "string"}


async def tried(to: Served, **asked: Any) -> httpx.Response:
    """Try the schema; processes take their time to start."""
    return await to.console.post(PATH, json=asked, timeout=60)


async def test_the_operator_tries_a_schema_and_may_keep_the_verdicts(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        first = await ask(to.alice, "one", tags="task=a")
        await ask(to.bob, "two", tags="task=b")
        await to.console.put("/api/schemas/words", content=json.dumps(DOCUMENT))
        answer = await tried(to, where="tag.task:a")
        told = registered.Judgements.model_validate_json(answer.text)
        assert ("words@1", False, 1, 0.0, {"invalid": 1}) == (
            told.schema_name,
            told.applied,
            told.exchanges,
            told.pass_ratio,
            told.verdicts,
        )
        assert [("", [first])] == [(its.at, its.examples) for its in told.errors]
        row = (await to.console.get(f"/api/exchanges/{first}")).json()
        assert (None, []) == (row["verdict"], row["judgements"])
        answer = await tried(to, apply=True)
        assert 2 == answer.json()["judged"]
        row = (await to.console.get(f"/api/exchanges/{first}")).json()
        assert ("words@1", "invalid") == (row["schema"], row["verdict"])
        assert "history" == row["judgements"][0]["why"]
        found = await to.console.get("/api/exchanges?q=verdict:invalid+schema:words@1")
        assert 2 == len(found.json()["data"])


async def test_what_cannot_be_tried_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        await to.console.put("/api/schemas/words", content=json.dumps(DOCUMENT))
        answer = await to.alice.post(PATH, json={})
        assert (403, "operator_only", None) == refusal(answer)
        other = PATH.replace("/1/", "/2/")
        answer = await to.console.post(other, json={})
        assert 404 == refusal(answer)[0]
        answer = await to.console.post(PATH, json={"where": "status:x"})
        assert (400, "invalid_query", "where") == refusal(answer)
        answer = await to.console.post(PATH, json={"wher": ""})
        assert (400, "unknown_parameter", "wher") == refusal(answer)


async def test_one_is_tried_at_a_time(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        await ask(to.alice, "one")
        await to.console.put("/api/schemas/words", content=json.dumps(DOCUMENT))
        answers = await asyncio.gather(*(tried(to) for _ in range(3)))
        statuses = sorted(answer.status_code for answer in answers)
        assert [200, 503, 503] == statuses
        assert 200 == (await tried(to)).status_code


def trying() -> int | None:
    """Return the process that tries a schema, None where there is none."""
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError):
                if b"\0schema\0test\0" in Path("/proc", child, "cmdline").read_bytes():
                    return int(child)
    return None


async def stopped(process: int | None = None) -> int:
    """Stop the process that tries a schema once there is one; return its number."""
    while process is None:
        await asyncio.sleep(0.01)
        process = trying()
    os.kill(process, signal.SIGSTOP)
    return process


async def test_what_nobody_waits_for_any_more_is_ended(tmp_path: Path) -> None:
    """It was stopped, and would never end by itself."""
    async with served(tmp_path) as to:
        await ask(to.alice, "one")
        await to.console.put("/api/schemas/words", content=json.dumps(DOCUMENT))
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(tried(to))
            process = await stopped()
            asked.cancel()
        async with asyncio.timeout(20):
            while trying() == process:  # noqa: ASYNC110  no event tells of its end
                await asyncio.sleep(0.01)
        assert 200 == (await tried(to)).status_code


async def test_who_leaves_does_not_keep_others_from_trying(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        await ask(to.alice, "one")
        await to.console.put("/api/schemas/words", content=json.dumps(DOCUMENT))
        with pytest.raises(httpx.ReadTimeout):
            await to.console.post(PATH, json={}, timeout=0.2)
        statuses = set()
        while 200 not in statuses:
            statuses.add((await tried(to)).status_code)
            await asyncio.sleep(0.05)
        assert statuses <= {200, 503}
