"""Options of the official Python client: headers, tags, opting out, other ways in."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.joined import Joined, gist, joined, snapshot, speaker, spelled, told
from tests.clients.test_python_chat import HELLO
from tests.clients.upstream import openai_like
from tests.living import living_proxy
from tests.proxy.vectors import VECTORS
from tests.scripted_upstream import scripted_upstream

pytestmark = pytest.mark.anyio


async def test_options_of_a_call_are_obeyed(tmp_path: Path, face: str) -> None:
    """Tags by header and by `metadata` are joined; unknown members pass untouched."""
    options: dict[str, Any] = {
        "default_headers": {"x-spiritsafe-tags": "team=a,env=mine"}
    }
    tags = {"env": "default", "site": "oslo"}
    async with joined(tmp_path, face, options=options, tags=tags) as here:
        await here.client.ask(
            lambda c: c.chat.completions.create(
                model="m",
                messages=HELLO,
                store=True,
                metadata={"task": "x", "team": "client"},
                extra_body={"top_k": 3, "odd": {"a": [1.50, None]}},
            )
        )
        kept = here.one()
    union = {"team": "client", "env": "mine", "site": "oslo", "task": "x"}
    sent = here.upstream.requests[0]
    assert union == kept.row.tags == sent.json["metadata"]
    assert 3 == sent.json["top_k"]
    assert b'"odd":{"a":[1.5,null]}' in sent.body
    assert "x-spiritsafe-tags" not in sent.headers
    assert ["metadata"] == [e.member for e in kept.edits if e.where == "body"]


def stored(db: Path) -> dict[str, bytes]:
    """Return the file that keeps everything and those beside it, such as its log."""
    return {path.name: path.read_bytes() for path in db.parent.glob(f"{db.name}*")}


async def test_who_opts_out_leaves_no_content(tmp_path: Path, face: str) -> None:
    """With `store: false` the answer comes as ever, and only its numbers are kept."""
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "private"}],
                store=False,
            )
        )
        kept = here.one()
    assert answer.choices[0].message.content
    assert here.upstream.requests[0].json["store"] is False
    assert (0, b"", b"") == (kept.row.content_kept, kept.request, kept.answer)
    assert ("", "") == (kept.row.prompt_preview, kept.row.answer_preview)
    assert 9 == kept.row.completion_tokens
    files = stored(here.proxy.db)
    assert here.proxy.db.name in files
    assert not any(b"private" in data for data in files.values())


async def test_who_asks_for_it_passes_unread(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.create(
                model="m",
                messages=HELLO,
                extra_headers={"x-spiritsafe-record": "off"},
            )
        )
        kept = here.kept()
    assert answer.choices[0].message.content
    assert {"model": "m", "messages": HELLO} == here.upstream.requests[0].json
    assert [] == kept


async def test_raw_answers_tell_both_headers(tmp_path: Path, face: str) -> None:
    """Ours say what was recorded, and the upstream's all arrive."""
    async with joined(tmp_path, face) as here:
        raw = await here.client.ask(
            lambda c: c.chat.completions.with_raw_response.create(
                model="odd-headers", messages=HELLO
            )
        )
        streamed = await here.client.raw(
            lambda c: c.chat.completions.with_streaming_response.create(
                model="a1_text", messages=HELLO, stream=True
            )
        )
        first, second = here.kept()
    assert "req_1" == raw.headers["x-request-id"] == raw.request_id
    assert "6m0s" == raw.headers["x-ratelimit-reset-tokens"]
    assert "1" == raw.headers["x-new"]
    assert (first.row.id, "yes") == (
        raw.headers["x-spiritsafe-id"],
        raw.headers["x-spiritsafe-recorded"],
    )
    assert raw.headers["server-timing"].startswith("spiritsafe;dur=")
    assert second.row.id == streamed.headers["x-spiritsafe-id"]
    assert VECTORS["a1_text"] == streamed.body == second.answer


async def test_a_named_upstream_is_chosen_by_path(tmp_path: Path, face: str) -> None:
    async with (
        joined(tmp_path / "..", face) as other,
        joined(
            tmp_path, face, upstreams={"other": {"url": other.upstream.url}}
        ) as here,
    ):
        base = f"{here.proxy.url}/other/v1"
        await here.client.ask(
            lambda c: c.with_options(base_url=base).chat.completions.create(
                model="m", messages=HELLO
            )
        )
        await here.client.ask(lambda c: c.with_options(base_url=base).models.list())
        kept = here.one()
    targets = [request.target for request in other.upstream.requests]
    assert [b"/v1/chat/completions", b"/v1/models"] == targets
    assert [] == here.upstream.requests
    assert ("other", "/other/v1/chat/completions") == (
        kept.row.upstream,
        kept.row.target,
    )


async def test_a_unix_socket_serves_as_well(tmp_path: Path, face: str) -> None:
    """Nothing but the client's transport differs; the socket is the owner's alone."""
    path = tmp_path / "safe.sock"
    pool: dict[str, Any] = {
        "http_client": httpx2.Client(transport=httpx2.HTTPTransport(uds=str(path)))
        if face == "sync"
        else httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path)))
    }
    heard: list[Any] = []
    async with (
        scripted_upstream(openai_like) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url, listen=f"unix:{path}") as proxy,
        speaker(face, "http://spiritsafe/v1", **pool) as client,
    ):
        here = Joined(upstream, proxy, client)
        assert 0o600 == path.stat().st_mode & 0o777
        answer = await client.ask(
            lambda c: c.chat.completions.create(model="m", messages=HELLO)
        )
        await client.listen(
            lambda c: c.chat.completions.create(
                model="a1_text", messages=HELLO, stream=True
            ),
            heard=heard,
        )
        plain, streamed = here.kept()
    assert told(answer) == spelled(plain)
    assert gist(snapshot(heard)) == gist(spelled(streamed))
    assert f"127.0.0.1:{upstream.port}" == upstream.requests[0].headers["host"]
