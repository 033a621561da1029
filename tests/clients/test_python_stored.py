"""Stored completions and responses, read back by the official Python client."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from openai import AuthenticationError, BadRequestError, NotFoundError
from openai.types.chat import ChatCompletion, ChatCompletionStoreMessage

from tests.clients.joined import Awaiting, Blocking, Joined, joined
from tests.proxy.stored.scene import without_reading

pytestmark = pytest.mark.anyio


async def gathered(here: Joined, pages: Callable[[Any], Any]) -> list[Any]:
    """Return every item of every page, as auto-paging goes through them."""
    if isinstance(here.client, Blocking):
        client = here.client.client
        return await to_thread.run_sync(lambda: list(pages(client)))
    assert isinstance(here.client, Awaiting)
    return [item async for item in pages(here.client.client)]


async def created(here: Joined, text: str, **members: Any) -> Any:
    """Ask for one completion."""
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": text}]},
    ]
    return await here.client.ask(
        lambda c: c.chat.completions.create(model="m", messages=messages, **members)
    )


async def test_all_calls_of_the_stored_api_work(tmp_path: Path, face: str) -> None:
    """Before an upstream that has no such API, with every parameter and auto-paging."""
    async with joined(tmp_path, face, without_reading()) as here:
        made = [
            await created(here, f"{n}", metadata={"task": "odd" if n % 2 else "even"})
            for n in range(7)
        ]
        ids = [one.id for one in made]

        def even(**more: Any) -> Callable[[Any], Any]:
            asked = {"metadata": {"task": "even"}, "model": "m-served", **more}
            return lambda c: c.chat.completions.list(**asked)

        listed = await gathered(here, even(limit=2))
        assert ids[::2] == [one.id for one in listed]
        assert all(isinstance(one, ChatCompletion) for one in listed)
        newest = await gathered(here, even(order="desc", after=ids[4]))
        assert [ids[2], ids[0]] == [one.id for one in newest]
        assert [] == await gathered(
            here, lambda c: c.chat.completions.list(metadata={"task": "x", "a b": "&="})
        )
        one = await here.client.ask(lambda c: c.chat.completions.retrieve(ids[3]))
        assert made[3].choices[0].message.content == one.choices[0].message.content
        assert ({"task": "odd"}, made[3].usage) == (one.metadata, one.usage)
        asked = await gathered(
            here, lambda c: c.chat.completions.messages.list(ids[3], limit=1)
        )
        assert all(isinstance(it, ChatCompletionStoreMessage) for it in asked)
        assert [(f"{ids[3]}-0", "be brief"), (f"{ids[3]}-1", "3")] == [
            (it.id, it.content) for it in asked
        ]
        changed = await here.client.ask(
            lambda c: c.chat.completions.update(ids[3], metadata={"task": "even"})
        )
        assert (ids[3], {"task": "even"}) == (changed.id, changed.metadata)
        gone = await here.client.ask(lambda c: c.chat.completions.delete(ids[0]))
        assert (ids[0], True) == (gone.id, gone.deleted)
        left = await gathered(here, even(limit=1))
        assert [ids[2], ids[3], ids[4], ids[6]] == [one.id for one in left]
        with pytest.raises(NotFoundError, match="No chat completion found"):
            await here.client.ask(lambda c: c.chat.completions.retrieve(ids[0]))
        assert 7 == len(here.upstream.requests)  # nothing of this was asked upstream


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_all_pages_of_a_list_can_be_deleted_as_they_come(
    tmp_path: Path, face: str, order: Any
) -> None:
    """Auto-paging names the last of a page, which is gone by then."""
    async with joined(tmp_path, face, without_reading()) as here:
        for n in range(7):
            await created(here, f"{n}")
        if isinstance(here.client, Blocking):
            client = here.client.client

            def empty() -> None:
                for one in client.chat.completions.list(limit=2, order=order):
                    client.chat.completions.delete(one.id)

            await to_thread.run_sync(empty)
        else:
            assert isinstance(here.client, Awaiting)
            stored = here.client.client.chat.completions
            async for one in stored.list(limit=2, order=order):
                await stored.delete(one.id)
        assert [] == await gathered(here, lambda c: c.chat.completions.list())


async def test_a_stream_and_a_parsed_answer_are_stored_too(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face) as here:
        heard: list[Any] = []
        await here.client.listen(
            lambda c: c.chat.completions.create(
                model="a2_tools", messages=[], stream=True, tools=[]
            ),
            heard=heard,
        )
        (stored,) = await gathered(here, lambda c: c.chat.completions.list())
    names = [call.function.name for call in stored.choices[0].message.tool_calls]
    assert (heard[0].id, "tool_calls") == (stored.id, stored.choices[0].finish_reason)
    assert names


async def test_another_key_reads_nothing_of_it(tmp_path: Path, face: str) -> None:
    async with joined(tmp_path, face, without_reading()) as here:
        made = await created(here, "x")

        def bob(client: Any) -> Any:
            return client.with_options(api_key="sk-bob").chat.completions

        assert [] == await gathered(here, lambda c: bob(c).list())
        for call in (
            lambda c: bob(c).retrieve(made.id),
            lambda c: bob(c).update(made.id, metadata={}),
            lambda c: bob(c).delete(made.id),
        ):
            with pytest.raises(NotFoundError):
                await here.client.ask(call)
        with pytest.raises(AuthenticationError):
            await here.client.ask(
                lambda c: c.chat.completions.list(
                    extra_headers={"authorization": "Bearer"}
                )
            )
        with pytest.raises(BadRequestError, match="limit"):
            await here.client.ask(lambda c: c.chat.completions.list(limit=101))


async def test_responses_are_read_back_where_no_upstream_does(
    tmp_path: Path, face: str
) -> None:
    async with joined(tmp_path, face, without_reading()) as here:
        made = await here.client.ask(
            lambda c: c.responses.create(
                model="m", input="hello", metadata={"task": "x"}
            )
        )
        back = await here.client.ask(lambda c: c.responses.retrieve(made.id))
        assert (made.output_text, {"task": "x"}) == (back.output_text, back.metadata)
        items = await gathered(
            here, lambda c: c.responses.input_items.list(made.id, order="asc")
        )
        assert ["hello"] == [item.content[0].text for item in items]
        await here.client.ask(lambda c: c.responses.delete(made.id))
        with pytest.raises(NotFoundError):
            await here.client.ask(lambda c: c.responses.retrieve(made.id))
