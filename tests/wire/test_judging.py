"""Judging on the way: verdicts in the record, and nothing of it in the traffic."""

import gzip
import json
from pathlib import Path

import pytest

from proxy.seal import INLINE_BYTES
from storage.records import Fault
from storage.schemas import Rule
from tests.scripted_upstream import (
    CHAT,
    DONE,
    RawRequest,
    Wire,
    completion,
    delta,
)
from tests.wire.judging import (
    FORMAT,
    RIGHT,
    TOOL,
    WRONG,
    asked,
    asking,
    calling,
    registered,
)
from tests.wire.scene import CHAT_PATH, data_until, scene

pytestmark = pytest.mark.anyio

CONTENT = "/choices/0/message/content"
ARGUMENTS = "/choices/0/message/tool_calls/0/function/arguments"
SEARCH = {"type": "web_search"}  # calls in its own way, and may bring functions along


@pytest.mark.parametrize(
    ("body", "answer", "slot", "why", "verdict"),
    [
        (asking(response_format=FORMAT), completion(RIGHT), CONTENT,
         "response_format", "valid"),
        (asking(response_format=FORMAT), completion(WRONG), CONTENT,
         "response_format", "invalid"),
        (asking(tools=[TOOL]), calling(RIGHT), ARGUMENTS, "tool", "valid"),
        (asking(tools=[TOOL]), calling(WRONG), ARGUMENTS, "tool", "invalid"),
    ],
)  # fmt: skip
async def test_a_schema_that_the_request_carries_is_judged_by(
    tmp_path: Path, *, body: bytes, answer: bytes, slot: str, why: str, verdict: str
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    async with scene(tmp_path, script) as it:
        status, headers, data = await asked(it, body)
        assert (200, answer) == (status, data)
        assert verdict == headers["x-spiritsafe-verdict"]
        kept = await it.one()
        (judged,) = kept.judgements
        assert (slot, why, verdict) == (judged.slot, judged.why, judged.verdict)
        assert (judged.schema, verdict) == (kept.row.schema, kept.row.verdict)
        if verdict == "invalid":
            (fault,) = judged.faults
            assert ("/price", "/properties/price/type") == (fault.at, fault.rule)
            assert "/price" == kept.row.error_path
    assert f'schema="",verdict="{verdict}"' in it.proxy.app._exposition.text().decode()


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (CHAT, completion(WRONG)),
        (asking(tools=[TOOL]), completion(WRONG)),
        (asking(tools=[TOOL, SEARCH]), calling(WRONG, name="another")),
        (asking(tools=[TOOL, SEARCH], tool_choice="required"), completion(WRONG)),
        (asking(response_format={"type": "json_object"}), completion(WRONG)),
    ],
)
async def test_what_no_schema_concerns_has_no_verdict(
    tmp_path: Path, body: bytes, answer: bytes
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    async with scene(tmp_path, script) as it:
        _, headers, _ = await asked(it, body)
        assert "x-spiritsafe-verdict" not in headers
        kept = await it.one()
        assert (None, None, ()) == (kept.row.schema, kept.row.verdict, kept.judgements)


async def test_no_answer_at_all_is_invalid_where_json_was_due(tmp_path: Path) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(b"no answer at all")

    async with scene(tmp_path, script) as it:
        status, _, data = await asked(it, asking(response_format=FORMAT))
        assert (200, b"no answer at all") == (status, data)
        kept = (await it.one()).row
        assert ("invalid", "") == (kept.verdict, kept.error_path)


async def test_an_error_of_the_upstreams_has_no_schema(tmp_path: Path) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(b'{"error": {}}', status=500)

    await registered(tmp_path / "s.db")
    async with scene(tmp_path, script) as it:
        assert 500 == (await asked(it, CHAT, "x-spiritsafe-schema: invoice"))[0]
        row = (await it.one()).row
        assert (None, None) == (row.schema, row.verdict)


async def test_bodies_in_a_coding_are_judged_too(tmp_path: Path) -> None:
    coded = gzip.compress(completion(WRONG))

    async def script(_: RawRequest, wire: Wire) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(coded)}\r\n"
        kinds = "content-type: application/json\r\ncontent-encoding: gzip\r\n\r\n"
        await wire.send(f"{head}{kinds}".encode() + coded)

    async with scene(tmp_path, script) as it:
        body = gzip.compress(asking(response_format=FORMAT))
        _, headers, data = await asked(it, body, "content-encoding: gzip")
        assert (coded, "invalid") == (data, headers["x-spiritsafe-verdict"])


async def test_a_long_answer_is_judged_beside_the_loop(tmp_path: Path) -> None:
    long = completion(json.dumps({"price": "x" * 2 * INLINE_BYTES}))

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(long)

    async with scene(tmp_path, script) as it:
        await asked(it, asking(response_format=FORMAT))
        (judged,) = (await it.one()).judgements
        assert ("invalid", "/price") == (judged.verdict, judged.faults[0].at)


async def test_an_error_status_is_not_judged(tmp_path: Path) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(b'{"error":{"message":"no"}}', status=400)

    async with scene(tmp_path, script) as it:
        status, headers, _ = await asked(it, asking(response_format=FORMAT))
        assert (400, None) == (status, headers.get("x-spiritsafe-verdict"))
        assert () == (await it.one()).judgements


async def test_no_token_of_a_stream_waits_for_its_verdict(tmp_path: Path) -> None:
    """The verdict comes with the commit: what was streamed is with the client."""

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta(WRONG[:8]), delta(WRONG[8:], "stop"), DONE)

    async with scene(tmp_path, script) as it, it.client() as client:
        await client.post(CHAT_PATH, asking(response_format=FORMAT, stream=True))
        _, headers = await client.head()
        assert "x-spiritsafe-verdict" not in headers
        await data_until(client, delta(WRONG[8:], "stop"))
        await data_until(client, DONE)
        (judged,) = (await it.one()).judgements
        assert (CONTENT, "invalid") == (judged.slot, judged.verdict)


async def test_a_stream_that_breaks_off_is_truncated(tmp_path: Path) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta(RIGHT[:8]), end=False)
        wire.close()

    async with scene(tmp_path, script) as it, it.client() as client:
        await client.post(CHAT_PATH, asking(response_format=FORMAT, stream=True))
        await client.rest()
        kept = await it.one()
        assert ("incomplete", "truncated") == (kept.row.state, kept.row.verdict)


async def test_header_tag_and_binding_choose_in_this_order(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", Rule(model="m-*"))

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion(RIGHT))

    async with scene(tmp_path, script) as it:
        body = asking(response_format=FORMAT)
        await asked(it, body)
        await asked(it, body, "x-spiritsafe-tags: schema=invoice")
        await asked(
            it, body, "x-spiritsafe-tags: schema=invoice", "x-spiritsafe-schema: none@1"
        )
        told = [
            (one.schema, one.why, one.verdict, one.reason)
            for kept in await it.settled()
            for one in kept.judgements
        ]
    assert [
        ("invoice@1", "binding:1", "valid", ""),
        ("invoice@1", "tag", "valid", ""),
        ("none@1", "header", "unchecked", "unknown_schema"),
    ] == told


async def test_p5_what_is_not_kept_is_not_quoted_by_its_verdict(tmp_path: Path) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion(WRONG))

    async with scene(tmp_path, script) as it:
        await asked(it, asking(response_format=FORMAT, store=False))
        kept = await it.one()
        (judged,) = kept.judgements
        assert ("invalid", ()) == (judged.verdict, judged.faults)
        assert (0, None) == (kept.row.content_kept, kept.row.error_path)
    assert b"SEVEN" not in (tmp_path / "s.db").read_bytes()


async def test_p5_a_key_in_the_name_of_a_schema_is_not_kept(tmp_path: Path) -> None:
    key = "sk-" + "k" * 40

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion(WRONG))

    async with scene(tmp_path, script) as it:
        named = {"name": key, "schema": {"type": "object"}}
        body = asking(response_format={"type": "json_schema", "json_schema": named})
        await asked(it, body, f"authorization: Bearer {key}")
        assert "" == (await it.one()).judgements[0].schema
    assert key.encode() not in (tmp_path / "s.db").read_bytes()


async def test_faults_are_masked_as_the_answer_is(tmp_path: Path) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(completion(WRONG))

    rules = [{"name": "seven", "pattern": "SEVEN"}]
    async with scene(tmp_path, script, redact=rules) as it:
        await asked(it, asking(response_format=FORMAT))
        (judged,) = (await it.one()).judgements
        assert (Fault("/price", "/properties/price/type", ""),) == judged.faults
    assert b"SEVEN" not in (tmp_path / "s.db").read_bytes()


async def test_under_header_an_answer_waits_for_its_verdict(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", Rule(model="m-*"), policy="header")

    async def script(request: RawRequest, wire: Wire) -> None:
        if request.json.get("stream"):
            await wire.events(delta(RIGHT, "stop"), DONE)
            return
        await wire.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        body = completion(WRONG)
        for piece in (body[:40], body[40:]):
            await wire.trickle(b"%x\r\n%b\r\n" % (len(piece), piece), size_bytes=16)
        await wire.send(b"0\r\n\r\n")

    async with scene(tmp_path, script) as it:
        status, headers, data = await asked(it, asking())
        assert (200, completion(WRONG)) == (status, data)
        assert "invalid" == headers["x-spiritsafe-verdict"]
        _, headers, data = await asked(it, asking(stream=True))
        assert "x-spiritsafe-verdict" not in headers, "no stream waits for it"
        assert data.endswith(DONE)


@pytest.mark.parametrize("tool", [False, True])
@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"price": "\ud800"}', "invalid"),
        (r'{"\ud800": 1}', "invalid"),
        ('{"price": NaN}', "invalid"),
        ('{"price": 1, "price": 2}', "invalid"),
        ('{"a\x00b": "\x00"}', "invalid"),
        ('{"' + "k" * 100_000 + '": 1}', "invalid"),
        ("[" * 100_000, "unchecked"),
        ('{"price": ' + "1" * 5000 + "}", "unchecked"),
    ],
    ids=["pair", "name", "nan", "twice", "nul", "long", "deep", "huge"],
)
async def test_whatever_an_answer_is_it_is_kept_with_its_verdict(
    tmp_path: Path, text: str, verdict: str, *, tool: bool
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(calling(text) if tool else completion(text))

    async with scene(tmp_path, script) as it:
        body = asking(tools=[TOOL]) if tool else asking(response_format=FORMAT)
        _, headers, _ = await asked(it, body)
        assert "yes" == headers["x-spiritsafe-recorded"]
        kept = await it.one()
        assert (verdict, verdict) == (kept.row.verdict, kept.judgements[0].verdict)
