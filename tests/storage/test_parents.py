"""Threads: an exchange knows which one it goes on from."""

from pathlib import Path

import orjson
import pytest

from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Exchange
from storage.threads import message_key
from tests.storage.make import chat, clock, exchange

pytestmark = pytest.mark.anyio


async def linked(
    path: Path, *made: Exchange, at_once: bool = False
) -> list[tuple[str | None, str | None]]:
    """Record these and return the parent and thread of the last, and of those before."""
    mode = "relaxed" if at_once else "durable"
    async with Recorder.open(path, clock=clock, durability=mode) as recorder:  # type: ignore[arg-type]  # a literal
        for one in made:
            recorder.accept(one.id)
            await recorder.keep(one)
    with open_library(path) as library:
        kept = [library.one(one.id) for one in made]
    return [(one.parent_id, one.thread_id) for one in kept]


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
async def test_a_conversation_is_one_thread(tmp_path: Path, *, at_once: bool) -> None:
    turns = [("system", "s"), ("user", "q1")]
    first = exchange(chat(*turns), text="a1")
    turns += [("assistant", "a1"), ("user", "q2")]
    second = exchange(chat(*turns), text="a2")
    turns += [("assistant", "a2"), ("user", "q3")]
    third = exchange(chat(*turns), text="a3")
    assert await linked(tmp_path / "a.db", first, second, third, at_once=at_once) == [
        (None, first.id),
        (first.id, first.id),
        (second.id, first.id),
    ]


async def test_the_newest_of_equal_answers_is_the_parent(tmp_path: Path) -> None:
    asked = chat(("user", "q"))
    made = [exchange(asked, text=text) for text in ("a", "b", "a", "c")]
    made.append(exchange(chat(("user", "q"), ("assistant", "a"), ("user", "r"))))
    links = await linked(tmp_path / "a.db", *made)
    assert links[-1] == (made[2].id, made[2].id)


@pytest.mark.parametrize(
    ("project", "answer"), [("other", "a"), ("anonymous", "never said")]
)
async def test_another_project_or_answer_is_no_parent(
    tmp_path: Path, project: str, answer: str
) -> None:
    first = exchange(chat(("user", "q")), text="a", project=project)
    request = chat(("user", "q"), ("assistant", answer), ("user", "r"))
    second = exchange(request)
    assert (await linked(tmp_path / "a.db", first, second))[1] == (None, second.id)


async def test_any_choice_of_an_answer_may_go_on(tmp_path: Path) -> None:
    keys = [
        message_key(orjson.dumps({"role": "assistant", "content": text}))
        for text in ("a", "b")
    ]
    first = exchange(chat(("user", "q")), answer_keys=tuple(key for key in keys if key))
    second = exchange(chat(("user", "q"), ("assistant", "b"), ("user", "r")))
    assert (await linked(tmp_path / "a.db", first, second))[1] == (first.id, first.id)


async def test_a_response_follows_the_one_it_names(tmp_path: Path) -> None:
    first = exchange(b'{"input":"q"}', endpoint="responses", completion_id="resp_1")
    other = exchange(b'{"input":"q"}', project="other", completion_id="resp_1")
    second = exchange(
        b'{"input":"r"}', endpoint="responses", previous_response_id="resp_1"
    )
    links = await linked(tmp_path / "a.db", first, other, second)
    assert links[2] == (first.id, first.id)


async def test_items_of_a_response_sent_back_are_recognised(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    key = message_key(orjson.dumps(call))
    assert key is not None
    items: list[object] = [{"role": "user", "content": "q"}]
    first = exchange(orjson.dumps({"input": items}), answer_keys=(key,))
    items += [{"type": "reasoning", "summary": []}, call]
    items += [{"type": "function_call_output", "call_id": "c", "output": "1"}]
    second = exchange(orjson.dumps({"input": items}))
    assert (await linked(tmp_path / "a.db", first, second))[1] == (first.id, first.id)
