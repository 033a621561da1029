"""The stored-completions API of a living proxy before an upstream that has none."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.callers import project_of
from proxy.stored import completions
from storage.reading import open_library
from tests.living import RawClient
from tests.proxy.stored.scene import ALICE, BOB, reading
from tests.scripted_upstream import DONE, RawRequest, Wire, delta

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"


def holding(folder: Path, text: bytes) -> list[str]:
    """Return the files in which a text stands."""
    return [it.name for it in folder.iterdir() if text in it.read_bytes()]


async def test_a_completion_is_read_back_with_what_the_api_adds(tmp_path: Path) -> None:
    async with reading(tmp_path, tags={"env": "test"}) as here:
        name = await here.chat("hi", tags={"task": "x"}, temperature=0.5, user="u-1")
        answer = await here.get(f"/{name}")
        head = await here.ask("HEAD", f"{PATH}/{name}")
    told = answer.json
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    assert answer.headers["x-request-id"].startswith("req_")
    assert (200, b"") == (head.status, head.body)
    assert (name, "chat.completion", "m-1-served") == (
        told["id"],
        told["object"],
        told["model"],
    )
    assert {"env": "test", "task": "x"} == told["metadata"]
    assert (0.5, "u-1", None, 1760000001) == (
        told["temperature"],
        told["input_user"],
        told["seed"],
        told["created"],
    )
    assert {"role": "assistant", "content": "echo hi", "refusal": None, "tool_calls": None, "function_call": None} == told["choices"][0]["message"]  # fmt: skip


async def test_a_stream_is_read_back_as_one_completion(tmp_path: Path) -> None:
    async def streaming(_: RawRequest, wire: Wire) -> None:
        await wire.events(delta("he"), delta("llo", "stop"), DONE)

    async with reading(tmp_path) as here:
        here.upstream.script = streaming
        await here.ask("POST", PATH, {"model": "m", "stream": True, "messages": []})
        (told,) = (await here.get("")).json["data"]
    assert ("chatcmpl-1", "hello", "stop") == (
        told["id"],
        told["choices"][0]["message"]["content"],
        told["choices"][0]["finish_reason"],
    )


async def test_lists_are_paged_by_the_id_of_their_last_item(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        names = [await here.chat(f"{n}") for n in range(7)]
        for order, expected in (("asc", names), ("desc", names[::-1])):
            seen: list[str] = []
            more, after = True, ""
            while more:
                page = (await here.get(f"?limit=3&order={order}{after}")).json
                ids = [item["id"] for item in page["data"]]
                assert (ids[0], ids[-1]) == (page["first_id"], page["last_id"])
                seen += ids
                more, after = page["has_more"], f"&after={ids[-1]}"
            assert expected == seen
        assert names == await here.ids()  # the API's own default
        assert (404, None, "not_found") == (await here.get("?after=nothing")).error


async def test_metadata_of_an_update_is_masked(tmp_path: Path) -> None:
    rules = ({"name": "digits", "pattern": "[0-9]+"},)
    async with reading(tmp_path, redact=rules) as here:
        name = await here.chat("hi")
        asked = {"metadata": {"card": "no 4711"}}
        answer = await here.ask("POST", f"{PATH}/{name}", asked)
    assert {"card": "no ****"} == answer.json["metadata"]


async def test_a_page_goes_on_behind_a_removed_item_for_who_saw_it(
    tmp_path: Path,
) -> None:
    """What another one was shown is as unknown as what never was."""
    async with reading(tmp_path) as here:
        names = [await here.chat(f"{n}") for n in range(4)]
        assert names[:2] == await here.ids("?limit=2")
        assert 200 == (await here.ask("DELETE", f"{PATH}/{names[1]}")).status
        assert names[2:] == await here.ids(f"?after={names[1]}")
        bobs = await here.get(f"?after={names[1]}", key=BOB)
        never = await here.get("?after=nothing", key=BOB)
    assert (404, None, "not_found") == bobs.error
    assert never.body == bobs.body.replace(names[1].encode(), b"nothing")


async def test_a_page_of_large_completions_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "MOST_PAGE_BYTES", 1000)
    async with reading(tmp_path) as here:
        names = [await here.chat("x" * size) for size in (10, 5000, 5000, 10, 10)]
        seen: list[str] = []
        sizes = []
        more = True
        while more:
            page = (await here.get(f"?after={seen[-1]}" if seen else "")).json
            sizes.append(len(page["data"]))
            seen += [item["id"] for item in page["data"]]
            more = page["has_more"]
    assert (names, [1, 1, 1, 2]) == (seen, sizes)


async def test_lists_are_filtered_by_model_and_exact_metadata(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        one = await here.chat(tags={"task": "a", "team": "x"})
        two = await here.chat(tags={"task": "a"}, model="m-2")
        glob = await here.chat(tags={"task": "*"})
        assert [one, two] == await here.ids("?metadata[task]=a")
        assert [one] == await here.ids("?metadata%5Btask%5D=a&metadata%5Bteam%5D=x")
        assert [glob] == await here.ids("?metadata[task]=*")
        assert [] == await here.ids("?metadata[task]=A")
        assert [two] == await here.ids("?model=m-2")  # as asked for
        assert [two] == await here.ids("?model=m-2-served&metadata[task]=a")
        assert [] == await here.ids("?model=m-*")
        assert [] == await here.ids("?metadata[task]=a&metadata[task]=b")


async def test_messages_are_those_of_the_request(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    told: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": parts},
        {"role": "user", "content": "c"},
    ]
    async with reading(tmp_path) as here:
        name = await here.chat(messages=told)
        first = (await here.get(f"/{name}/messages?limit=2")).json
        rest = (await here.get(f"/{name}/messages?after={name}-1")).json
        assert [f"{name}-0", f"{name}-1"] == [m["id"] for m in first["data"]]
        assert (True, False) == (first["has_more"], rest["has_more"])
        assert ("ab", parts) == (
            first["data"][1]["content"],
            first["data"][1]["content_parts"],
        )
        assert ["c"] == [m["content"] for m in rest["data"]]
        lost = await here.get(f"/{name}/messages?after={name}-9")
        assert (404, None, "not_found") == lost.error


async def test_an_update_replaces_the_metadata(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        name = await here.chat(tags={"task": "a"})
        told = await here.ask("POST", f"{PATH}/{name}", {"metadata": {"label": "é"}})
        assert (200, {"label": "é"}) == (told.status, told.json["metadata"])
        assert [name] == await here.ids("?metadata[label]=%C3%A9")
        assert [] == await here.ids("?metadata[task]=a")
        none = await here.ask("POST", f"{PATH}/{name}", {"metadata": None})
        assert {} == none.json["metadata"]
        assert 1 == len(here.upstream.requests)  # no update goes there


async def test_a_deleted_completion_is_gone_from_lists_and_file(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        tags = {"task": "DELETED tag"}
        name = await here.chat("the DELETED prompt", tags=tags)
        kept = await here.chat("kept")
        assert [] != holding(tmp_path, b"DELETED")
        told = await here.ask("DELETE", f"{PATH}/{name}")
        assert {
            "object": "chat.completion.deleted",
            "id": name,
            "deleted": True,
        } == told.json
        again = await here.ask("DELETE", f"{PATH}/{name}")
        assert (404, None, "not_found") == again.error
        assert (404, None, "not_found") == (await here.get(f"/{name}")).error
        assert [kept] == await here.ids()
        while holding(tmp_path, b"DELETED"):  # noqa: ASYNC110  files tell nobody
            await asyncio.sleep(0.05)
        assert [kept] == await here.ids()


async def test_what_did_not_end_well_is_not_stored(tmp_path: Path) -> None:
    async def odd(request: RawRequest, wire: Wire) -> None:
        match request.json["messages"]:
            case "refused":
                await wire.answer(b'{"error":{"message":"no"}}', status=429)
            case "broken":
                await wire.events(delta("he"), end=False)
                wire.close()
            case "empty":
                await wire.answer(b"{}")
            case "nameless":
                await wire.answer(b'{"choices":[]}')

    async with reading(tmp_path) as here:
        good = await here.chat()
        here.upstream.script = odd
        for text in ("refused", "broken", "empty", "nameless"):
            with_stream = {"model": "m", "messages": text, "stream": text == "broken"}
            async with RawClient.connect(here.proxy.port) as client:
                await client.post(PATH, json.dumps(with_stream).encode(), f"authorization: Bearer {ALICE}", "connection: close")  # fmt: skip
                _, head = await client.head()
                await client.rest()
        # What an upstream gave no id has ours.
        assert [good, head["x-spiritsafe-id"]] == await here.ids()
        assert 200 == (await here.get(f"/{head['x-spiritsafe-id']}")).status


@pytest.mark.parametrize("respected", [True, False])
async def test_what_the_client_wants_nobody_to_store_is_not_given_back(
    tmp_path: Path, *, respected: bool
) -> None:
    async with reading(tmp_path, respect_opt_out=respected) as here:
        name = await here.chat(store=False)
        assert [] == await here.ids()
        for way in ("GET", "DELETE"):
            answer = await here.ask(way, f"{PATH}/{name}")
            assert (404, None, "not_found") == answer.error
        stored = await here.chat(store=True)
        assert [stored] == await here.ids()


async def test_s31_of_one_id_given_twice_the_newest_is_shown(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        for text in ("old", "middle", "new"):
            await here.chat(text, user="same-id")
        other = await here.chat()
        await here.chat("hers", user="same-id", key=BOB)
        assert ["same-id", other] == await here.ids()
        assert [other, "same-id"] == await here.ids("?order=desc")
        assert [other] == await here.ids("?after=same-id")
        found = (await here.get("/same-id")).json
        assert "echo new" == found["choices"][0]["message"]["content"]
        with open_library(here.proxy.db) as library:
            assert 5 == len(list(library.rows()))


async def test_a_delete_takes_all_of_an_id_and_none_of_others(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        for text in ("old", "middle", "new"):
            await here.chat(text, user="same-id")
        await here.chat("hers", user="same-id", key=BOB)
        await here.chat("elsewhere", user="same-id", at="/other/v1")
        assert 200 == (await here.ask("DELETE", f"{PATH}/same-id")).status
        assert (404, None, "not_found") == (await here.get("/same-id")).error
        assert [] == await here.ids()
        assert ["same-id"] == await here.ids(key=BOB)
        assert ["same-id"] == await here.ids(at="/other/v1")


async def test_callers_are_known_by_the_secret_that_is_given(tmp_path: Path) -> None:
    secret = "ab" * 32
    async with reading(tmp_path, secret=secret) as here:
        await here.chat()
        with open_library(here.proxy.db) as library:
            (row,) = library.rows()
    assert project_of(ALICE.encode(), bytes.fromhex(secret)) == row.project
    assert "s.db.secret" not in holding(tmp_path, b"")


async def test_each_upstream_has_completions_of_its_own(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        one = await here.chat()
        two = await here.chat(at="/other/v1")
        assert [one] == await here.ids()
        assert [two] == await here.ids(at="/other/v1")
        assert (404, None, "not_found") == (await here.get(f"/{two}")).error
        azure = await here.ask("GET", f"/other/openai{PATH[3:]}/{two}?api-version=1")
        assert (200, two) == (azure.status, azure.json["id"])
        assert 2 == len(here.upstream.requests)


async def test_ids_of_any_spelling_are_found(tmp_path: Path) -> None:
    odd = "a/b %é?#'\"; DROP TABLE exchanges"
    spelled = "".join(f"%{byte:02X}" for byte in odd.encode())
    async with reading(tmp_path) as here:
        assert odd == await here.chat(user=odd)
        assert odd == (await here.get(f"/{spelled}")).json["id"]
        assert [] == await here.ids(f"?after={spelled}")
        assert [odd] == await here.ids()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nothing", (404, None, "not_found")),
        ("GET", "/nothing/messages", (404, None, "not_found")),
        ("GET", "/a/b/c", (404, None, "not_found")),
        ("PUT", "/nothing", (405, None, "method_not_allowed")),
        ("POST", "/nothing/messages", (405, None, "method_not_allowed")),
        ("GET", "/%00", (400, "id", "invalid_value")),
        ("GET", "/%ff", (400, "id", "invalid_value")),
        ("GET", "/nothing?limit=1", (400, "limit", "unknown_parameter")),
        ("GET", "?limit=1000", (400, "limit", "invalid_value")),
        ("GET", "?metadata[a]=%00", (400, "the query", "invalid_value")),
        ("GET", "/nothing/", (400, None, "ambiguous_target")),
        ("GET", "//nothing", (400, None, "ambiguous_target")),
        ("GET", "?x=" + "y" * 20_000, (414, None, "target_too_long")),
    ],
)
async def test_what_cannot_be_is_said_clearly_and_sent_nowhere(
    tmp_path: Path, method: str, path: str, expected: tuple[int, str | None, str]
) -> None:
    async with reading(tmp_path) as here:
        answer = await here.ask(method, PATH + path)
        assert expected == answer.error
        assert [] == here.upstream.requests


async def test_a_body_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        name = await here.chat()
        long = {"metadata": {"a": "x" * 1_000_000}}
        answer = await here.ask("POST", f"{PATH}/{name}", long)
        assert (400, "metadata", "invalid_value") == answer.error
        async with RawClient.connect(here.proxy.port) as client:
            lines = [
                f"POST {PATH}/{name} HTTP/1.1",
                "host: a",
                "content-length: 3000000",
            ]
            lines.append(f"authorization: Bearer {ALICE}")
            head = "\r\n".join(lines).encode() + b"\r\n\r\n"
            client.writer.write(head + b"x" * 3_000_000)
            status, _ = await client.head()
            assert 413 == status


async def test_a_caller_without_a_key_reads_nothing(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        name = await here.chat(key=None)
        for method, path in (
            ("GET", ""),
            ("GET", f"/{name}"),
            ("GET", f"/{name}/messages"),
            ("POST", f"/{name}"),
            ("DELETE", f"/{name}"),
        ):
            body: Any = {"metadata": {}} if method == "POST" else None
            answer = await here.ask(method, PATH + path, body, key=None)
            assert (401, None, "missing_api_key") == answer.error
            assert "Bearer" == answer.headers["www-authenticate"]
