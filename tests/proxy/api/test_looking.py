"""What is recorded is read back through `/api`, by those who may."""

from pathlib import Path

import pytest

from proxy.api import models
from tests.proxy.api.served import ask, question, refusal, served

pytestmark = pytest.mark.anyio
LIST = "/api/exchanges"


async def test_a_list_has_the_newest_first_and_goes_on_by_its_cursor(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        ids = [await ask(to.alice, f"number {at}") for at in range(5)]
        found: list[str] = []
        cursor: dict[str, str] = {}
        for _ in range(3):
            answer = await to.alice.get(LIST, params={"limit": "2", **cursor})
            page = models.Page.model_validate_json(answer.text)
            found += [row.id for row in page.data]
            cursor = {} if page.cursor is None else {"cursor": page.cursor}
        assert ids[::-1] == found
        assert (False, {}) == (page.has_more, cursor)
        answer = await to.alice.get(LIST, params={"order": "asc", "limit": "1"})
        assert [ids[0]] == [row["id"] for row in answer.json()["data"]]


async def test_a_filter_chooses_by_field_and_by_words(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        plain = await ask(to.alice, "the weather in Oslo", tags="task=weather")
        other = await ask(to.alice, "a poem", model="m-2")
        for q, wanted in (
            ("model:m-2", [other]),
            ("tag.task:weather", [plain]),
            ("oslo", [plain]),
            ("not oslo", [other]),
            ("status:200", [other, plain]),
            ("status:404", []),
        ):
            answer = await to.alice.get(LIST, params={"q": q})
            assert wanted == [row["id"] for row in answer.json()["data"]], q


async def test_a_filter_that_cannot_be_read_points_at_its_column(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        answer = await to.alice.get(LIST, params={"q": "model:m-1 colour:red"})
        assert (400, "invalid_query", "q") == refusal(answer)
        assert "column 11" in answer.json()["error"]["message"]


async def test_one_exchange_comes_whole_and_its_bodies_byte_for_byte(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "how are you", tags="a=1")
        answer = await to.alice.get(f"{LIST}/{name}")
        told = models.Exchange.model_validate_json(answer.text)
        assert (name, {"a": "1"}) == (told.id, told.tags)
        assert question("how are you")["messages"][0]["content"] in (told.request or "")
        assert "answer to how are you" in str(told.assembled)
        request = await to.alice.get(f"{LIST}/{name}/request")
        assert told.request == request.text
        answered = await to.alice.get(f"{LIST}/{name}/answer")
        assert told.answer == answered.text
        sent = await to.alice.get(f"{LIST}/{name}/sent")
        assert [edit.member for edit in told.edits if edit.where == "body"]
        assert '"store":true' in sent.text.replace(" ", "")
        for it in (request, answered, sent):
            assert "application/octet-stream" == it.headers["content-type"]
            assert "attachment" == it.headers["content-disposition"]
            assert "sandbox" in it.headers["content-security-policy"]
            assert "nosniff" == it.headers["x-content-type-options"]


async def test_without_content_there_is_the_row_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "forget me", store=False)
        told = (await to.alice.get(f"{LIST}/{name}")).json()
        assert (False, "", None) == (
            told["content_kept"],
            told["request"],
            told["assembled"],
        )
        for which in ("request", "sent", "answer"):
            answer = await to.alice.get(f"{LIST}/{name}/{which}")
            assert (404, "content_not_kept", None) == refusal(answer)


async def test_facets_count_the_values_of_what_matches(tmp_path: Path) -> None:
    async with served(tmp_path) as to:
        for task in ("a", "a", "b"):
            await ask(to.alice, "one of many", tags=f"task={task}")
        await ask(to.bob, "not hers", tags="task=c")
        params = {"q": "many", "fields": "model,tag.task,status,stream"}
        answer = await to.alice.get(f"{LIST}/facets", params=params)
        told = models.Facets.model_validate_json(answer.text)
        assert (3, True) == (told.exchanges, told.complete)
        counts = {
            name: [(it.value, it.count) for it in values]
            for name, values in told.fields.items()
        }
        assert counts == {
            "model": [("m-1-served", 3)],
            "tag.task": [("a", 2), ("b", 1)],
            "status": [("200", 3)],
            "stream": [("0", 3)],
        }
        answer = await to.alice.get(f"{LIST}/facets", params={"fields": "id"})
        assert (400, "invalid_query", "fields") == refusal(answer)
        params = {"fields": ",".join(f"tag.{at}" for at in range(9))}
        answer = await to.alice.get(f"{LIST}/facets", params=params)
        assert (400, "invalid_request", "fields") == refusal(answer)


async def test_what_is_longer_than_it_may_be_told_comes_as_bytes_alone(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as to:
        name = await ask(to.alice, "x" * (5 * 1024 * 1024))  # and as much comes back
        told = (await to.alice.get(f"{LIST}/{name}")).json()
        assert (None, None, None) == (
            told["request"],
            told["answer"],
            told["assembled"],
        )
        answer = await to.alice.get(f"{LIST}/{name}/request")
        assert told["request_bytes"] == len(answer.content)
