"""The official Node client, unchanged, through the proxy: told and recorded alike.

`make test` installs it with npm where there is a node; elsewhere all this is skipped.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.joined import Joined, gist, joined, spelled
from tests.clients.upstream import CALLED, ERRORS, NOISE, TWO_CALLS
from tests.proxy.stored.scene import without_reading
from tests.proxy.vectors import TEXT, VECTORS

FOLDER: Final = Path(__file__).with_name("node")
NODE: Final = shutil.which("node")
INSTALLED: Final = (FOLDER / "node_modules" / "openai").is_dir()
MISSING: Final = "THE OFFICIAL NODE CLIENT IS NOT TESTED: " + (
    "scripts/node did not install it" if NODE else "there is no node on the PATH"
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(NODE is None or not INSTALLED, reason=MISSING),
]


@contextlib.asynccontextmanager
async def ran(
    folder: Path, call: str, **settings: Any
) -> AsyncIterator[tuple[Any, Joined]]:
    """Run one call of `calls.mjs`; give what the client saw, and what is joined."""
    async with joined(folder, "sync", **settings) as here:
        told_of = {"OPENAI_BASE_URL": here.proxy.base_url, "OPENAI_API_KEY": "sk-node"}
        process = await asyncio.create_subprocess_exec(
            str(NODE),
            str(FOLDER / "calls.mjs"),
            call,
            env={"PATH": os.environ["PATH"]} | told_of,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        seen, complaints = await process.communicate()
        assert 0 == process.returncode, complaints.decode()
        yield json.loads(seen), here


async def test_a_plain_answer_is_told_and_recorded_alike(tmp_path: Path) -> None:
    async with ran(tmp_path, "plain") as (seen, here):
        kept = here.one()
    assert spelled(kept) == seen["answer"]
    assert ("req_1", kept.row.id) == (seen["request_id"], seen["id"])
    assert "complete" == kept.row.state
    told = here.upstream.requests[0].headers
    assert "Bearer sk-node" == told["authorization"]
    assert told["user-agent"].startswith("OpenAI/JS ")
    assert "js" == told["x-stainless-lang"]


@pytest.mark.parametrize(
    "call", ["stream", "streamed_tools", "two_streamed_choices", "tools", "two_choices"]
)
async def test_the_record_spells_what_the_client_assembles(
    tmp_path: Path, call: str
) -> None:
    async with ran(tmp_path, call) as (seen, here):
        kept = here.one()
    assert gist(spelled(kept)) == gist(seen["answer"])
    assert "complete" == kept.row.state
    assert bool(kept.row.streamed) == ("stream" in call)


async def test_the_client_gets_every_event_of_a_stream(tmp_path: Path) -> None:
    async with ran(tmp_path, "stream_a1_text") as (seen, here):
        kept = here.one()
    assert [json.loads(event) for event in TEXT[:-1]] == seen["chunks"]
    assert VECTORS["a1_text"] == kept.answer


async def test_parallel_calls_of_a_tool_arrive_whole(tmp_path: Path) -> None:
    async with ran(tmp_path, "tools") as (seen, _):
        assert gist(json.loads(TWO_CALLS)) == gist(seen["answer"])


async def test_parse_gives_what_the_schema_asks_for(tmp_path: Path) -> None:
    async with ran(tmp_path, "parse") as (seen, here):
        kept = here.one()
    assert {"label": "scripted", "urgent": True} == seen["value"]
    assert gist(spelled(kept)) == gist(seen["answer"])
    asked = json.loads(kept.request)["response_format"]["json_schema"]
    assert ("ticket", True) == (asked["name"], asked["strict"])


async def test_a_response_is_told_and_recorded_alike(tmp_path: Path) -> None:
    async with ran(tmp_path, "response") as (seen, here):
        kept = here.one()
    assert CALLED == spelled(kept)
    assert CALLED["output"] == seen["answer"]["output"]


async def test_a_streamed_response_is_recorded(tmp_path: Path) -> None:
    async with ran(tmp_path, "streamed_response") as (seen, here):
        kept = here.one()
    assert "response.completed" == seen["events"][-1]
    assert spelled(kept)["output"][0]["content"][0]["text"] == seen["text"]
    assert "complete" == kept.row.state


async def test_embeddings_come_out_as_floats(tmp_path: Path) -> None:
    async with ran(tmp_path, "embeddings", record_embeddings=True) as (seen, here):
        kept = here.one()
    assert [[1, 0], [1, 0]] == seen["floats"]
    assert "base64" == json.loads(kept.request)["encoding_format"]


async def test_an_upload_arrives_byte_for_byte(tmp_path: Path) -> None:
    async with ran(tmp_path, "upload") as (seen, here):
        assert [] == here.kept()
    (request,) = here.upstream.requests
    assert len(request.body) == seen["bytes"]
    start = request.body.index(b"0123456789\r\n--")
    content = request.body[start : start + seen["size"]]
    assert hashlib.sha256(content).hexdigest() == seen["sha256"]


@pytest.mark.parametrize("call", ["content", "speech"])
async def test_raw_bytes_arrive_as_they_are(tmp_path: Path, call: str) -> None:
    async with ran(tmp_path, call) as (seen, here):
        assert [] == here.kept()
    assert hashlib.sha256(NOISE).hexdigest() == seen["sha256"]


async def test_the_name_of_a_model_keeps_its_slash(tmp_path: Path) -> None:
    async with ran(tmp_path, "model") as (seen, here):
        pass
    assert {"listed": ["org/name"], "one": "org/name"} == seen
    assert b"/v1/models/org%2Fname" == here.upstream.requests[-1].target


async def test_errors_of_the_upstream_are_raised_as_its_own(tmp_path: Path) -> None:
    async with ran(tmp_path, "errors") as (seen, here):
        kept = here.kept()
    classes = {
        "400": "BadRequestError",
        "401": "AuthenticationError",
        "403": "PermissionDeniedError",
        "404": "NotFoundError",
        "422": "UnprocessableEntityError",
        "429": "RateLimitError",
        "500": "InternalServerError",
    }
    assert classes == {status: error["class"] for status, error in seen.items()}
    for name, (kind, param, code) in ERRORS.items():
        error = seen[name.removeprefix("error-")]
        assert (kind, param, code) == (error["type"], error["param"], error["code"])
        assert f"req_{name}" == error["request_id"]
    assert [int(status) for status in seen] == [one.row.status for one in kept]
    assert {"complete"} == {one.row.state for one in kept}


async def test_a_retry_of_the_client_is_an_exchange_of_its_own(tmp_path: Path) -> None:
    async with ran(tmp_path, "retry") as (seen, here):
        kept = here.kept()
    assert [(500, 0), (500, 1), (200, 2)] == [
        (one.row.status, one.row.retry_count) for one in kept
    ]
    assert spelled(kept[-1]) == seen["answer"]


async def test_what_should_not_be_retried_is_not(tmp_path: Path) -> None:
    async with ran(tmp_path, "hopeless") as (seen, here):
        kept = here.kept()
    assert ("InternalServerError", "false") == (seen["class"], seen["should_retry"])
    assert [500] == [one.row.status for one in kept]


async def test_a_broken_stream_raises_and_is_incomplete(tmp_path: Path) -> None:
    async with ran(tmp_path, "broken") as (seen, here):
        pass
    kept = here.one()
    assert seen["error"]
    assert "one" == seen["words"][0]
    assert ("incomplete", "upstream_truncated") == (kept.row.state, kept.row.reason)


async def test_options_of_a_call_are_obeyed(tmp_path: Path) -> None:
    async with ran(tmp_path, "options", tags={"env": "test"}) as (_, here):
        kept = here.one()
    union = {"task": "x", "team": "a", "env": "test"}
    sent = here.upstream.requests[0]
    assert union == kept.row.tags == sent.json["metadata"]
    assert 3 == sent.json["top_k"]
    assert "x-spiritsafe-tags" not in sent.headers


async def test_stored_completions_are_read_back(tmp_path: Path) -> None:
    """Listed with auto-paging, retrieved, updated and deleted: no upstream has them."""
    async with ran(tmp_path, "stored", script=without_reading()) as (seen, here):
        sent = [request.head.split(b" ")[0] for request in here.upstream.requests]
    first, second, third, fourth = seen["ids"]
    assert [first, third, fourth] == seen["listed"]
    assert [fourth, third, second, first] == seen["latest"]
    assert [first] == seen["found"]
    assert (first, {"task": "a"}) == (seen["one"]["id"], seen["one"]["metadata"])
    assert [f"{first}-0"] == [message["id"] for message in seen["asked"]]
    assert ["user"] == [message["role"] for message in seen["asked"]]
    assert {"task": "c", "note": "é & x"} == seen["updated"]
    assert seen["deleted"]["deleted"]
    assert ("NotFoundError", "not_found") == (
        seen["again"]["class"],
        seen["again"]["code"],
    )
    assert ("echo", 404) == (seen["text"], seen["gone"])
    assert ["hello"] == [item["content"][0]["text"] for item in seen["items"]]
    assert [b"POST"] * 5 == sent[:5]
    assert b"POST" not in sent[5:]  # it was asked for responses, in vain
