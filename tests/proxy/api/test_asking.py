"""Hostile input to `/api` gets a clear 400 and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.living import RawClient
from tests.proxy.api.served import TOKEN, ask, refusal, served

pytestmark = pytest.mark.anyio
LIST = "/api/exchanges"
MB = "x" * 1024 * 1024

TARGETS = (
    f"{LIST}?limit=0",
    f"{LIST}?limit=501",
    f"{LIST}?limit=1e3",
    f"{LIST}?limit=",
    f"{LIST}?limit=50&limit=50",
    f"{LIST}?order=newest",
    f"{LIST}?colour=red",
    f"{LIST}?q[]=a",
    f"{LIST}?cursor=x",
    f"{LIST}?cursor=n-1",
    f"{LIST}?cursor=o5",
    f"{LIST}?cursor=n1%00",
    f"{LIST}?cursor=n{'9' * 400}",
    f"{LIST}?cursor=%27%3BDROP%20TABLE%20exchanges--",
    f"{LIST}?q=a%00b",
    f"{LIST}?q=%ED%A0%80",
    f"{LIST}?q=%FF",
    f"{LIST}?q=status%3A1;DROP",
    f"{LIST}?q=(((",
    f"{LIST}?q={'a' * 5000}",
    f"{LIST}?{'&'.join(f'a{at}=1' for at in range(100))}",
    f"{LIST}/facets?fields=",
    f"{LIST}/facets?fields=tag.",
    f"{LIST}/facets?fields=model%27",
    f"{LIST}/facets?limit=-1",
    f"{LIST}/tail?q=(",
    f"{LIST}/tail?limit=1",
)

BODIES: tuple[Any, ...] = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"add": {"a": "\\ud800"}}',
    b'{"add": {"\\udfff": "a"}}',
    b'{"add": {"a": "\\u0000"}}',
    b"[" * 100_000,
    {"add": {"a\0": "b"}},
    {"add": {"a\n": "b"}},
    {"add": {"": "b"}},
    {"add": {"a": 1}},
    {"add": {"a": None}},
    {"add": {"a": MB}},
    {"add": {MB: "a"}},
    {"add": {str(at): "a" for at in range(17)}},
    {"add": [["a", "b"]]},
    {"remove": "a"},
    {"remove": [1]},
    {"remove": [MB]},
    {"add": {"a": "b"}, MB: 1},
    {"project": "another"},
)


@pytest.mark.parametrize("target", TARGETS)
async def test_a_query_that_says_what_cannot_be_gets_400(
    target: str, tmp_path: Path
) -> None:
    async with served(tmp_path) as to, RawClient.connect(to.proxy.port) as client:
        lines = ("Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}", "", "")
        await client.send("\r\n".join((f"GET {target} HTTP/1.1", *lines)).encode())
        status, headers = await client.head()
        told = json.loads(await client.body(headers))
        assert 400 == status, told
        assert headers["x-spiritsafe-error"] == told["error"]["code"]
        assert len(told["error"]["message"]) < 1000
        assert 200 == (await to.console.get(LIST)).status_code


async def test_a_body_that_says_what_cannot_be_gets_400(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "stay", tags="kept=yes")
        for body in BODIES:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            many = {"ids": [name], **body} if isinstance(body, dict) else body
            for path, sent in (
                (f"{LIST}/{name}/tags", content),
                (f"{LIST}/tags", many),
            ):
                data = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
                answer = await to.alice.post(path, content=data)
                status, _, _ = refusal(answer)
                assert 400 == status, (path, data[:80])
                assert len(answer.content) < 1000
        told = (await to.alice.get(f"{LIST}/{name}")).json()
        assert {"kept": "yes"} == told["tags"]


@pytest.mark.parametrize(
    "ids",
    [None, [], "ex_", ["ex_1"], ["' OR 1=1 --"], ["ex_" + "0" * 32] * 1001, [MB]],
)
@pytest.mark.parametrize("path", ["tags", "delete"])
async def test_ids_that_are_none_get_400(path: str, ids: Any, tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "stay")
        answer = await to.console.post(f"{LIST}/{path}", json={"ids": ids})
        assert 400 == answer.status_code
        assert 200 == (await to.alice.get(f"{LIST}/{name}")).status_code


async def test_a_body_past_its_limit_gets_413(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        answer = await to.console.post(f"{LIST}/tags", content=MB * 5)
        assert (413, "request_too_large", None) == refusal(answer)


async def test_what_is_not_there_is_told_in_the_same_envelope(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        for path in ("/api", "/api/", "/api/nothing", f"{LIST}/", f"{LIST}/ex_1"):
            assert (404, "not_found", None) == refusal(await to.console.get(path))
        answer = await to.console.put(LIST)
        assert (405, "method_not_allowed", None) == refusal(answer)
        assert {"GET", "HEAD"} == set(answer.headers["allow"].split(", "))
