"""Tags are changed and exchanges removed through `/api`, by those who recorded them."""

import random
from pathlib import Path

import anyio
import httpx
import pytest

from proxy.api import models
from tests.proxy.api.served import ask, refusal, served

pytestmark = pytest.mark.anyio
LIST = "/api/exchanges"


async def ids(client: httpx.AsyncClient, q: str = "") -> list[str]:
    answer = await client.get(LIST, params={"q": q})
    return [row["id"] for row in answer.json()["data"]]


async def test_tags_are_set_replaced_and_taken_away(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "a question", tags="task=old,team=a")
        change = {"add": {"task": "new", "x": "1"}, "remove": ["team", "never-there"]}
        answer = await to.alice.post(f"{LIST}/{name}/tags", json=change)
        row = models.Row.model_validate_json(answer.text)
        assert {"task": "new", "x": "1"} == row.tags
        assert [name] == await ids(to.alice, "tag.task:new")
        assert [] == await ids(to.alice, "tag.task:old")


async def test_tags_given_later_are_masked(tmp_path: Path) -> None:
    rules = (
        {"name": "digits", "pattern": "[0-9]+"},
        {"name": "patient", "path": "$.metadata.patient"},
    )
    change = {"add": {"room": "B 12", "patient": "Ada"}}
    async with served(tmp_path, redact=rules) as to:
        one, other = await ask(to.alice, "a"), await ask(to.alice, "b")
        answer = await to.alice.post(f"{LIST}/{one}/tags", json=change)
        assert {"room": "B **", "patient": "***"} == answer.json()["tags"]
        await to.alice.post(f"{LIST}/tags", json={"ids": [other], **change})
        answer = await to.alice.get(f"{LIST}/{other}")
        assert {"room": "B **", "patient": "***"} == answer.json()["tags"]


async def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        gone, stays = await ask(to.alice, "goes"), await ask(to.alice, "stays")
        answer = await to.alice.delete(f"{LIST}/{gone}")
        assert {"object": "exchange.deleted", "id": gone, "deleted": True} == (
            answer.json()
        )
        assert [stays] == await ids(to.alice)
        for answer in (
            await to.alice.get(f"{LIST}/{gone}"),
            await to.alice.delete(f"{LIST}/{gone}"),
            await to.alice.post(f"{LIST}/{gone}/tags", json={}),
        ):
            assert (404, "not_found", None) == refusal(answer)


@pytest.mark.parametrize("several", [False, True])
async def test_no_byte_of_what_is_removed_is_left(
    tmp_path: Path, *, several: bool
) -> None:
    """Of prompt, answer, tag and model; in the file, its log and its index."""
    draw = random.Random(several)
    words = [draw.randbytes(8).hex() for _ in range(4)]

    def left() -> list[str]:
        files = [it.read_bytes() for it in tmp_path.iterdir() if it.is_file()]
        return [word for word in words if any(word.encode() in it for it in files)]

    async with served(tmp_path) as to:
        prompt, *more, model = words
        gone = [
            await ask(to.alice, f"{prompt} {n}", tags=f"t={word}", model=f"m-{model}")
            for n, word in enumerate(more)
        ]
        stays = await ask(to.alice, "stays")
        assert gone[:1] == await ids(to.alice, f"tag.t:{more[0]}")
        assert words == left()
        if several:
            answer = await to.alice.post(f"{LIST}/delete", json={"ids": gone})
            assert 2 == answer.json()["changed"]
        else:
            for name in gone:
                assert 200 == (await to.alice.delete(f"{LIST}/{name}")).status_code
        with anyio.fail_after(60):
            while left():  # noqa: ASYNC110  files tell nobody
                await anyio.sleep(0.05)
        assert [stays] == await ids(to.alice)


async def test_nobody_changes_what_another_recorded(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        hers = await ask(to.alice, "hers", tags="a=1")
        for answer in (
            await to.bob.delete(f"{LIST}/{hers}"),
            await to.bob.post(f"{LIST}/{hers}/tags", json={"remove": ["a"]}),
        ):
            assert (404, "not_found", None) == refusal(answer)
        for path in ("tags", "delete"):
            body = {"ids": [hers]}
            answer = await to.bob.post(f"{LIST}/{path}", json=body)
            told = models.Changed.model_validate_json(answer.text)
            assert (0, [hers]) == (told.changed, told.missing)
            answer = await to.nobody.post(f"{LIST}/{path}", json=body)
            assert (401, "missing_api_key", None) == refusal(answer)
        assert (await to.nobody.delete(f"{LIST}/{hers}")).status_code == 401
        assert [hers] == await ids(to.alice, "tag.a:1")


async def test_many_are_changed_in_one_request(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        hers = [await ask(to.alice, f"number {at}") for at in range(40)]
        his = await ask(to.bob, "his")
        none = f"ex_{'0' * 32}"
        body = {"ids": [*hers, his, none, hers[0]], "add": {"seen": "yes"}}
        answer = await to.alice.post(f"{LIST}/tags", json=body)
        told = models.Changed.model_validate_json(answer.text)
        assert (40, [his, none]) == (told.changed, told.missing)
        assert hers[::-1] == await ids(to.alice, "tag.seen:yes")
        answer = await to.console.post(f"{LIST}/delete", json={"ids": [his, *hers]})
        told = models.Changed.model_validate_json(answer.text)
        assert (41, []) == (told.changed, told.missing)
        assert [] == await ids(to.console)
