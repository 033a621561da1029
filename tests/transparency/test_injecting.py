"""What is added to requests, where it is not, and upstreams that refuse it."""

import json
from pathlib import Path

import pytest

from proxy.settings import UpstreamSettings
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Script,
    Wire,
    completion,
    scripted_upstream,
)
from tests.transparency.standing import Standing, standing
from tests.transparency.wire import PLAIN, ask, chat, request, saying, sent, whole

pytestmark = pytest.mark.anyio

SECRET = b"a sentence that must not be kept 4711"


def body(**members: object) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}
    ).encode()


async def added(at: Standing, data: bytes, *lines: bytes) -> dict[str, object]:
    """Return what the upstream got beyond what the client sent, or got changed."""
    await ask(at.client, chat(data, *lines))
    own = json.loads(data)
    return {
        name: value
        for name, value in at.asked.json.items()
        if name not in own or own[name] != value
    }


async def test_store_is_added_only_where_the_client_said_nothing(
    tmp_path: Path,
) -> None:
    async with standing(tmp_path, PLAIN) as at:
        assert {"store": True} == await added(at, body())
        for said in (True, False, None, "yes"):
            assert {} == await added(at, body(store=said))


def holds(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("said", [False, None])
async def test_an_opt_out_is_forwarded_and_nothing_of_its_content_kept(
    tmp_path: Path, said: object
) -> None:
    """The database's bytes hold neither the prompt nor the answer."""
    async with standing(tmp_path, saying(whole(completion(SECRET.decode())))) as at:
        data = body(store=said, user=SECRET.decode())
        got = await ask(at.client, chat(data))
        assert SECRET in got.body
        assert data == at.asked.body
        kept = at.kept()
    assert (0, "complete") == (kept.row.content_kept, kept.row.state)
    assert (b"", b"") == (kept.request, kept.answer)
    assert ("", "") == (kept.row.prompt_preview, kept.row.answer_preview)
    assert not holds(tmp_path, SECRET)
    assert not holds(tmp_path, b"\xb5/\xfd")  # nor a zstd frame that could hide it


async def test_an_opt_out_of_a_streamed_answer_is_respected_too(tmp_path: Path) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % SECRET
    text = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"content-length: %d\r\n\r\n%b%b"
    )
    done = b"data: [DONE]\n\n"
    script = saying(text % (len(event + done), event, done))
    async with standing(tmp_path, script) as at:
        got = await ask(at.client, chat(body(store=False, stream=True)))
        assert event + done == got.body
        assert 0 == at.kept().row.content_kept
    assert not holds(tmp_path, SECRET)


async def test_an_opt_out_is_overruled_only_by_its_setting(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN, respect_opt_out=False) as at:
        assert {} == await added(at, body(store=False))
        assert body(store=False) == at.kept().request


async def test_metadata_is_the_union_and_the_client_wins(tmp_path: Path) -> None:
    """Client over header over defaults; the record has all of them."""
    tags = {"a": "default", "b": "default", "c": "default"}
    async with standing(tmp_path, PLAIN, tags=tags) as at:
        data = body(store=True, metadata={"a": "client"})
        line = b"x-spiritsafe-tags: a=header, b=header,d=\xc3\xa9"
        union = {"a": "client", "b": "header", "c": "default", "d": "é"}
        assert {"metadata": union} == await added(at, data, line)
        assert union == at.kept().row.tags
        assert [] == sent(at.asked, b"x-spiritsafe-tags")


async def test_metadata_is_never_sent_without_store(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN, tags={"a": "b"}) as at:
        for said in (False, None, "yes"):
            assert {} == await added(at, body(store=said))
            assert {"a": "b"} == at.kept().row.tags


async def test_limits_drop_defaults_first_and_the_record_says_which(
    tmp_path: Path,
) -> None:
    """At most 16 pairs, keys of 64 and values of 512 characters."""
    defaults = {"d1": "1", "d2": "2", "k" * 65: "long key", "long": "v" * 513}
    own = {f"own{number}": "x" for number in range(14)}
    async with standing(tmp_path, PLAIN, tags=defaults) as at:
        data = body(metadata=own)
        union = {**own, "h": "1", "d1": "1"}
        assert {"store": True, "metadata": union} == await added(
            at, data, b"x-spiritsafe-tags: h=1"
        )
        kept = at.kept()
        assert {"d2", "k" * 65, "long"} == set(kept.dropped_tags)
        assert {**defaults, **own, "h": "1"} == kept.row.tags
        full = body(metadata={f"own{number}": "x" for number in range(16)})
        assert {"store": True} == await added(at, full, b"x-spiritsafe-tags: h=1")
        assert {*defaults, "h"} == set(at.kept().dropped_tags)
        wide = {"k" * 64: "é" * 512}
        said = ",".join(f"{key}={value}" for key, value in wide.items()).encode()
        few = await added(at, body(), b"x-spiritsafe-tags: " + said)
        assert {**wide, "d1": "1", "d2": "2"} == few["metadata"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"x-spiritsafe-tags: team", b"'team' is no tag; write key=value"),
        (b"x-spiritsafe-tags: a=1,=2", b"'=2' is no tag; write key=value"),
        (b"x-spiritsafe-tags: a=\xff", b"not UTF-8"),
        (b"x-spiritsafe-record: maybe", b"'maybe' is neither 'on' nor 'off'"),
        (b"x-spiritsafe-schema: a b", b"'a b' is no schema; write name"),
    ],
)
async def test_a_control_header_that_cannot_be_obeyed_is_refused(
    tmp_path: Path, line: bytes, what: bytes
) -> None:
    """With 400 in OpenAI's envelope: what is wrong, where, and what to write."""
    name = line.partition(b":")[0]
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, chat(body(), line))
        assert 0 == at.upstream.connections
    error = json.loads(got.body)["error"]
    assert 400 == got.status
    assert {"message", "type", "param", "code"} == error.keys()
    assert name.decode() == error["param"]
    assert what.decode() in error["message"]
    assert name.decode() in error["message"]
    assert [b"invalid_control_header"] == got.values(b"x-spiritsafe-error")
    assert [b"false"] == got.values(b"x-should-retry")


async def test_record_off_passes_unedited_and_unrecorded(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN, tags={"a": "b"}) as at:
        lines = [b"x-spiritsafe-record: off", b"accept-encoding: gzip"]
        got = await ask(at.client, chat(CHAT, *lines))
        assert (CHAT, completion()) == (at.asked.body, got.body)
        assert [b"gzip"] == sent(at.asked, b"accept-encoding")
        assert [] == sent(at.asked, b"x-spiritsafe-record")
        assert [] == got.values(b"x-spiritsafe-id")
        await ask(at.client, chat(body()))
        assert 1 == at.kept().row.seq
        assert CHAT != at.kept().request


async def test_inject_off_is_of_one_upstream(tmp_path: Path) -> None:
    async with scripted_upstream(PLAIN) as quiet:
        off = UpstreamSettings(url=quiet.url, inject="off")
        async with standing(tmp_path, PLAIN, upstreams={"quiet": off}) as at:
            kind = b"content-type: application/json"
            path = b"/quiet/v1/chat/completions"
            await ask(at.client, request("POST", path, kind, body=body()))
            assert body() == quiet.requests[0].body
            assert "quiet" == at.kept().row.upstream
            assert {"store": True} == await added(at, body())


async def test_responses_get_tags_and_never_store(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN, tags={"a": "b"}) as at:
        kind = b"content-type: application/json"
        data = b'{"model":"m","input":"hi"}'
        await ask(at.client, request("POST", b"/v1/responses", kind, body=data))
        assert {"metadata": {"a": "b"}, **json.loads(data)} == at.asked.json
        await ask(at.client, request("POST", b"/v1/completions", kind, body=data))
        assert data == at.asked.body


OPENAI = b'{"error":{"message":"Unrecognized request argument supplied: store","type":"invalid_request_error","param":null,"code":null}}'
MISTRAL = b'{"detail":[{"type":"extra_forbidden","loc":["body","store"],"msg":"Extra inputs are not permitted","input":true}]}'
GOOGLE = b'[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \\"store\\": Cannot find field.","status":"INVALID_ARGUMENT"}}]'
COUPLED = b'{"error":{"message":"The \'metadata\' parameter is only allowed when \'store\' is enabled.","type":"invalid_request_error","param":null,"code":null}}'


def refusing(refusal: bytes, status: int, member: str = "store") -> Script:
    async def script(asked: RawRequest, wire: Wire) -> None:
        if member in asked.json:
            await wire.send(whole(refusal, b"x-refused: yes", status=status))
        else:
            await wire.send(whole(completion("good")))

    return script


@pytest.mark.parametrize(
    ("refusal", "status"), [(OPENAI, 400), (MISTRAL, 422), (GOOGLE, 400)]
)
async def test_a_refused_member_is_left_out_once_and_for_all(
    tmp_path: Path, refusal: bytes, status: int
) -> None:
    """One retry without it; the client sees the good answer only; the next goes without."""
    async with standing(tmp_path, refusing(refusal, status), tags={"a": "b"}) as at:
        got = await ask(at.client, chat(CHAT))
        assert (200, completion("good")) == (got.status, got.body)
        assert [] == got.values(b"x-refused")
        first, second = at.upstream.requests
        assert {"store", "metadata"} == first.json.keys() - second.json.keys()
        assert CHAT == second.body
        kept = at.kept()
        assert ("complete", completion("good")) == (kept.row.state, kept.answer)
        assert ["header"] == [edit.where for edit in kept.edits]
        assert {"refused=store", "refused=metadata"} == set(kept.flags)
        assert {"a": "b"} == kept.row.tags
        await ask(at.client, chat(CHAT))
        assert 3 == len(at.upstream.requests)
        assert CHAT == at.asked.body
        assert () == at.kept().flags


async def test_refused_metadata_alone_leaves_store(tmp_path: Path) -> None:
    async with standing(
        tmp_path, refusing(COUPLED, 400, "metadata"), tags={"a": "b"}
    ) as at:
        got = await ask(at.client, chat(CHAT))
        assert (200, 2) == (got.status, len(at.upstream.requests))
        assert {"store": True, **json.loads(CHAT)} == at.asked.json


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (b'{"error":{"message":"Unknown parameter: \'temprature\'.","param":"temprature"}}', 400),
        (b'{"error":{"message":"Please store your messages elsewhere","param":"messages"}}', 400),
        (b"not json at all", 400),
        (b"", 400),
        (b'{"detail":[{"loc":["body","messages"],"msg":"Field required"}]}', 422),
        (OPENAI, 401),
        (OPENAI, 500),
        (b" " * 70_000 + OPENAI, 400),
    ],
)  # fmt: skip
async def test_another_error_is_relayed_untouched_and_never_repeated(
    tmp_path: Path, refusal: bytes, status: int
) -> None:
    async with standing(tmp_path, refusing(refusal, status)) as at:
        got = await ask(at.client, chat(CHAT))
        assert (status, refusal) == (got.status, got.body)
        assert [b"yes"] == got.values(b"x-refused")
        assert 1 == len(at.upstream.requests)
        assert refusal == at.kept().answer
        await ask(at.client, chat(CHAT))
        assert {"store": True, **json.loads(CHAT)} == at.asked.json


async def test_a_member_of_the_client_is_never_stripped(tmp_path: Path) -> None:
    """Also not when the upstream refuses it, and was seen to refuse it before."""
    async with standing(tmp_path, refusing(OPENAI, 400)) as at:
        data = body(store=True, metadata={"a": "b"})
        for _ in range(2):
            got = await ask(at.client, chat(data))
            assert (400, OPENAI) == (got.status, got.body)
            assert data == at.asked.body
        assert 2 == len(at.upstream.requests)
        await ask(at.client, chat(CHAT))
        got = await ask(at.client, chat(data))
        assert (400, data) == (got.status, at.asked.body)


async def test_a_second_refusal_is_the_clients_to_see(tmp_path: Path) -> None:
    """There is one retry, whatever it meets."""
    async with standing(tmp_path, saying(whole(OPENAI, status=400))) as at:
        got = await ask(at.client, chat(CHAT))
        assert (400, OPENAI) == (got.status, got.body)
        assert 2 == len(at.upstream.requests)
        assert (OPENAI, "complete") == (at.kept().answer, at.kept().row.state)
