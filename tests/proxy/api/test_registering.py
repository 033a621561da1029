"""Schemas and bindings through `/api`: the operator's, versioned, refused with a path."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.api import registered
from tests.proxy.api.served import question, refusal, served
from tests.proxy.commands.recording import lines

pytestmark = pytest.mark.anyio

SCHEMAS, BINDINGS = "/api/schemas", "/api/bindings"
ONE = b'{"type":  "object", "required": ["a"]}'
OTHER = b'{"type": "object", "maximum": 12345678901234567890123}'


async def put(
    to: httpx.AsyncClient, name: str, document: bytes = ONE
) -> httpx.Response:
    """Register a document."""
    return await to.put(f"{SCHEMAS}/{name}", content=document)


async def bind(to: httpx.AsyncClient, **members: Any) -> registered.Binding:
    """Bind a schema; return the binding."""
    answer = await to.post(BINDINGS, json={"schema": "invoice", **members})
    assert 200 == answer.status_code, answer.text
    return registered.Binding.model_validate_json(answer.text)


async def test_a_schema_is_put_and_read_back_byte_for_byte(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        made = registered.Put.model_validate_json((await put(to.console, "a.b-c")).text)
        assert (True, "a.b-c@1", "api", len(ONE)) == (
            made.new,
            made.ref,
            made.source,
            made.document_bytes,
        )
        again = (await put(to.console, "a.b-c")).json()
        assert (False, 1) == (again["new"], again["version"])
        await put(to.console, "a.b-c", OTHER)
        answer = await to.console.get(f"{SCHEMAS}/a.b-c")
        whole = registered.Whole.model_validate_json(answer.text)
        assert ("a.b-c@2", [1, 2]) == (whole.ref, whole.versions)
        assert OTHER in answer.content
        answer = await to.console.get(f"{SCHEMAS}/a.b-c/versions/1")
        assert ONE in answer.content
        listed = (await to.console.get(SCHEMAS)).text
        data = registered.Versions.model_validate_json(listed).data
        assert ["a.b-c@2"] == [its.ref for its in data]


async def test_the_command_tells_of_a_schema_what_the_api_tells(tmp_path: Path) -> None:
    file = tmp_path / "invoice.json"
    file.write_bytes(ONE)
    async with served(tmp_path) as to:
        made = (await put(to.console, "invoice")).json()
        words = ("schema", "add", "invoice", file, "--db", tmp_path / "s.db")
        (told,) = await asyncio.to_thread(lines, *words)
        assert {**made, "new": False} == told


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (b"", None),
        (b"[]", None),
        (b'{"type": "objekt"}', "/type"),
        (b'{"properties": {"a": {"minimum": "1"}}}', "/properties/a/minimum"),
        (b'{"properties": {"a": {"$ref": "http://x/"}}}', "/properties/a/$ref"),
        (b'{"$ref": "file:///etc/passwd"}', "/$ref"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "/a" * 65),
        (b'"' + b"a" * 300_000 + b'"', None),
    ],
)
async def test_a_broken_schema_is_refused_with_the_path_of_the_fault(
    tmp_path: Path, document: bytes, path: str | None
) -> None:
    async with served(tmp_path) as to:
        answer = await put(to.console, "invoice", document)
        assert (400, "schema_refused", path) == refusal(answer)
        assert [] == (await to.console.get(SCHEMAS)).json()["data"]


@pytest.mark.parametrize("name", ["-a", "a" * 65, "a@1", "%20", "ü"])
async def test_a_name_has_to_be_one_that_a_header_takes(
    tmp_path: Path, name: str
) -> None:
    async with served(tmp_path) as to:
        assert (400, "schema_refused", None) == refusal(await put(to.console, name))


async def test_what_is_not_registered_is_not_found(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        await put(to.console, "invoice")
        for answer in (
            await to.console.get(f"{SCHEMAS}/order"),
            await to.console.get(f"{SCHEMAS}/invoice/versions/2"),
            await to.console.get(f"{SCHEMAS}/invoice/versions/one"),
            await to.console.post(BINDINGS, json={"schema": "order"}),
            await to.console.post(BINDINGS, json={"schema": "invoice@2"}),
            await to.console.delete(f"{BINDINGS}/1"),
            await to.console.delete(f"{BINDINGS}/x"),
            await to.console.post(f"{BINDINGS}/1/position", json={"position": 1}),
        ):
            assert (404, "not_found", None) == refusal(answer), answer.request.url


async def test_bindings_are_added_moved_and_ended(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        await put(to.console, "invoice")
        rule = {
            "model": "gpt-4o*",
            "tags": {"task": "bills"},
            "tool": "save",
            "format_name": "Invoice",
            "prompt": "0123456789abcdef",
            "upstream": "default",
            "endpoint": "chat",
        }
        first = await bind(to.console, **rule, policy="repair", attempts=3)
        assert rule == first.rule.model_dump()
        assert ("repair", 3) == (first.policy, first.attempts)
        await bind(to.console)
        await bind(to.console, position=1)

        async def order() -> list[int]:
            text = (await to.console.get(BINDINGS)).text
            return [
                its.id for its in registered.Bindings.model_validate_json(text).data
            ]

        assert [3, 1, 2] == await order()
        moved = await to.console.post(f"{BINDINGS}/2/position", json={"position": 1})
        assert 2 == moved.json()["id"]
        assert [2, 3, 1] == await order()
        ended = await to.console.delete(f"{BINDINGS}/3")
        assert {"object": "binding.deleted", "id": 3, "deleted": True} == ended.json()
        assert [2, 1] == await order()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"schema": "a b"}, "schema"),
        ({"schema": "invoice@0"}, "schema"),
        ({"prompt": "0123"}, "prompt"),
        ({"policy": "refuse"}, "policy"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 11}, "attempts"),
        ({"position": 0}, "position"),
        ({"endpoint": "images"}, "endpoint.literal['chat','responses','completions','embeddings']"),
        ({"model": "a\x1b"}, "model"),
        ({"model": "a" * 257}, "model"),
        ({"tags": {str(n): "" for n in range(17)}}, "tags"),
        ({"unknown": 1}, "unknown"),
    ],
)  # fmt: skip
async def test_a_binding_that_cannot_be_is_refused(
    tmp_path: Path, members: dict[str, Any], param: str
) -> None:
    async with served(tmp_path) as to:
        await put(to.console, "invoice")
        body = {"schema": "invoice", **members}
        status, _, named = refusal(await to.console.post(BINDINGS, json=body))
        assert (400, param) == (status, named)
        assert [] == (await to.console.get(BINDINGS)).json()["data"]


async def test_callers_neither_read_nor_change_what_is_registered(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        await put(to.console, "invoice")
        await bind(to.console)
        for client, expected in (
            (to.alice, (403, "operator_only", None)),
            (to.nobody, (401, "missing_api_key", None)),
        ):
            for answer in (
                await client.get(SCHEMAS),
                await client.get(f"{SCHEMAS}/invoice"),
                await client.get(f"{SCHEMAS}/invoice/versions/1"),
                await put(client, "invoice", OTHER),
                await client.get(BINDINGS),
                await client.post(BINDINGS, json={"schema": "invoice"}),
                await client.post(f"{BINDINGS}/1/position", json={"position": 1}),
                await client.delete(f"{BINDINGS}/1"),
            ):
                assert expected == refusal(answer), answer.request.url
        assert 1 == len((await to.console.get(BINDINGS)).json()["data"])
        assert 1 == (await to.console.get(f"{SCHEMAS}/invoice")).json()["version"]


async def test_many_puts_at_once_make_one_version_each(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        documents = [json.dumps({"const": n}).encode() for n in range(8)]
        answers = await asyncio.gather(
            *(put(to.console, "invoice", one) for one in documents)
        )
        assert list(range(1, 9)) == sorted(its.json()["version"] for its in answers)
        for one, answer in zip(documents, answers, strict=True):
            version = answer.json()["version"]
            its = await to.console.get(f"{SCHEMAS}/invoice/versions/{version}")
            assert one in its.content


async def test_what_is_registered_is_in_force_with_the_next_request(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:

        async def told(**headers: str) -> tuple[int, str | None]:
            """Ask what is answered with words; return what the client is told."""
            answer = await to.alice.post(
                "/v1/chat/completions", json=question("hi"), headers=headers
            )
            return answer.status_code, answer.headers.get("x-spiritsafe-verdict")

        task = {"x-spiritsafe-tags": "task=bills"}
        assert (200, None) == await told(**task)
        await put(to.console, "invoice")
        assert (200, None) == await told(**task)
        assert (200, "unchecked") == await told(**{"x-spiritsafe-schema": "invoice@2"})
        first = await bind(to.console, tags={"task": "bills"}, policy="enforce")
        assert (502, "invalid") == await told(**task)
        assert (200, None) == await told()
        await bind(to.console, policy="header", position=1)
        assert (200, "invalid") == await told(**task), "the first that fits decides"
        assert (200, "invalid") == await told()
        await put(to.console, "anything", b"true")
        await bind(to.console, schema="anything", policy="header", position=1)
        assert (200, "invalid") == await told(), "words are no JSON"
        for number in (1, 2, 3):
            await to.console.delete(f"{BINDINGS}/{number}")
        assert (200, None) == await told(**task)
        assert 1 == first.id
