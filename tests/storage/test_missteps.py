"""Turns that repeat wrong answers: found by what was asked, in files as recorded."""

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from storage import judgements
from storage.changes import remove, strip
from storage.engines.sqlite import open_writer
from storage.judgements import Rejudged
from storage.missteps import find_missteps
from storage.reading import open_library
from storage.records import Exchange, Judgement, Verdict
from storage.threads import message_key
from tests.storage.make import chat, exchange
from tests.storage.test_reasks import ERROR, attempt, judged, links

pytestmark = pytest.mark.anyio

WRONG, RIGHT = "{}", '{"name":"a"}'
Q, NEXT, LAST = ("user", "q"), ("user", "next"), ("user", "last")
REASONING = {"type": "reasoning", "summary": []}
USER = {"role": "user", "content": "q"}


def said(text: str) -> tuple[str, str]:
    return ("assistant", text)


def valid(*turns: tuple[str, str], answer: str, **more: Any) -> Exchange:
    return attempt(*turns, answer=answer, verdict="valid", **more)


def unjudged(*turns: tuple[str, str], answer: str = "fine", **more: Any) -> Exchange:
    return exchange(chat(*turns), text=answer, **more)


def at_slot(slot: str, verdict: Verdict) -> Judgement:
    return msgspec.structs.replace(judged(verdict), slot=slot)


def of_choices(*answers: tuple[str, Verdict], has_key: int = 0) -> Exchange:
    """Return an exchange with these choices, of which those from one on have a key."""
    keys = [
        message_key(orjson.dumps({"role": "assistant", "content": text}))
        for text, _ in answers[has_key:]
    ]
    slots = tuple(
        at_slot(f"/choices/{number}/message/content", verdict)
        for number, (_, verdict) in enumerate(answers)
    )
    return unjudged(Q, answer_keys=keys, judgements=slots, verdict="invalid")


def of_items(asked: list[Any], *output: Any, **more: Any) -> Exchange:
    """Return a Responses exchange with this output."""
    keys = [message_key(orjson.dumps(item)) for item in output]
    told = {
        "endpoint": "responses",
        "answer_keys": [key for key in keys if key],
        **more,
    }
    return exchange(orjson.dumps({"model": "m", "input": asked}), **told)


def item(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": text}


def call(arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "name": "f", "arguments": arguments}


def wrong_in(path: Path, one: Exchange) -> list[int]:
    """Return the places at which the messages of a recorded exchange go wrong."""
    with open_library(path) as library:
        row = library.row(one.id)
        request = library.whole(row).request
        return sorted(find_missteps(library.connection, row, request))


async def wrong_after(tmp_path: Path, *made: Exchange) -> list[int]:
    """Record these; return where the last one repeats what was wrong."""
    await links(tmp_path / "a.db", *made)
    return wrong_in(tmp_path / "a.db", made[-1])


async def test_each_turn_is_found_without_those_between(tmp_path: Path) -> None:
    """Rows between may be removed, or stripped of content; what is left is found."""
    talk = [Q, said(WRONG), NEXT, said(RIGHT), LAST]
    made = [
        attempt(*talk[:1], answer=WRONG),
        valid(*talk[:3], answer=RIGHT),
        attempt(*talk, answer="[]"),
        unjudged(*talk, said("[]"), Q),
    ]
    assert [1, 5] == await wrong_after(tmp_path, *made)
    path = tmp_path / "a.db"
    connection = open_writer(path)
    strip(connection, [2])
    assert [1, 5] == wrong_in(path, made[-1])
    remove(connection, [2])
    assert [1, 5] == wrong_in(path, made[-1])
    remove(connection, [1])
    connection.close()
    assert [5] == wrong_in(path, made[-1])


async def test_only_wrong_choices_are_wrong(tmp_path: Path) -> None:
    both = of_choices((RIGHT, "valid"), (WRONG, "invalid"))
    after = [unjudged(Q, said(text), NEXT) for text in (RIGHT, WRONG)]
    await links(tmp_path / "a.db", both, *after)
    found = [wrong_in(tmp_path / "a.db", one) for one in after]
    assert [[], [1]] == found


async def test_one_wrong_part_makes_a_choice_wrong(tmp_path: Path) -> None:
    at = "/choices/0/message/tool_calls/{}/function/arguments"
    broken = (at_slot(at.format(0), "invalid"), at_slot(at.format(1), "valid"))
    before = unjudged(Q, answer=WRONG, judgements=broken, verdict="invalid")
    assert [1] == await wrong_after(tmp_path, before, unjudged(Q, said(WRONG), NEXT))


async def test_of_choices_without_a_key_nothing_is_told(tmp_path: Path) -> None:
    """Which of the keys belongs to which choice, nobody knows then."""
    both = of_choices(("", "invalid"), (RIGHT, "valid"), has_key=1)
    assert [] == await wrong_after(tmp_path, both, unjudged(Q, said(RIGHT), NEXT))


async def test_choices_are_as_judged_last(tmp_path: Path) -> None:
    both = of_choices((RIGHT, "invalid"), (WRONG, "valid"))
    after = unjudged(Q, said(WRONG), NEXT)
    assert [] == await wrong_after(tmp_path, both, after)
    slots = tuple(
        at_slot(f"/choices/{number}/message/content", verdict)
        for number, verdict in enumerate[Verdict](("valid", "invalid"))
    )
    connection = open_writer(tmp_path / "a.db")
    told = Rejudged(
        seq=1, judgements=slots, schema="s@2", verdict="invalid", error_path=None
    )
    assert judgements.add(connection, told, judged_at=0)
    connection.close()
    assert [1] == wrong_in(tmp_path / "a.db", after)


async def test_all_items_of_a_wrong_response_are_wrong(tmp_path: Path) -> None:
    """With one key for each item; an item of reasoning has none, and is no turn."""
    output = [REASONING, item(WRONG), REASONING, call(RIGHT)]
    broken = (at_slot("/output/1/content/0/text", "invalid"),)
    first = of_items([USER], *output, verdict="invalid", judgements=broken)
    result = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    second = of_items([USER, *output, result], item(RIGHT))
    third = of_items([USER, *output, result, item(RIGHT), USER], item("fine"))
    await links(tmp_path / "a.db", first, second, third)
    found = [wrong_in(tmp_path / "a.db", one) for one in (first, second, third)]
    assert [[], [2, 4], [2, 4]] == found


async def test_what_only_names_reasoning_ends_an_answer(tmp_path: Path) -> None:
    first = of_items([USER], item(WRONG), call(WRONG), verdict="invalid")
    other = {"role": "user", "name": "reasoning", "content": "and?"}
    talk = [USER, item(WRONG), other, call(WRONG)]
    assert [1] == await wrong_after(tmp_path, first, of_items(talk, item(RIGHT)))


async def test_an_answer_of_asking_again_may_be_wrong_too(tmp_path: Path) -> None:
    """A conversation goes on with it as if the first prompt had been answered so."""
    asked = [Q]
    made = []
    for answer in (WRONG, "[]", "1"):
        made.append(attempt(*asked, answer=answer))
        asked += [said(answer), ("user", ERROR)]
    made.append(valid(*asked, answer="2"))
    made += [unjudged(Q, said(answer), NEXT) for answer in ("[]", "1", "2")]
    await links(tmp_path / "a.db", *made)
    found = [wrong_in(tmp_path / "a.db", one) for one in made]
    assert [[], [1], [1, 3], [1, 3, 5], [1], [1], []] == found


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
async def test_what_was_also_said_rightly_is_not_wrong(
    tmp_path: Path, *, first: bool
) -> None:
    """Nobody judged it there: which of the two the client repeats, nobody knows."""
    plain, broken = unjudged(Q, answer="hi"), attempt(Q, answer="hi")
    pair = (plain, broken) if first else (broken, plain)
    assert [] == await wrong_after(tmp_path, *pair, unjudged(Q, said("hi"), NEXT))


async def test_what_was_asked_otherwise_tells_nothing(tmp_path: Path) -> None:
    """By others, later, to other messages, or on top of what the upstream held."""
    made = [
        attempt(Q, answer=WRONG, project="another"),
        attempt(NEXT, answer=WRONG),
        attempt(Q, answer=WRONG, previous_response_id="resp_1"),
        unjudged(Q, said(WRONG), NEXT),
        attempt(Q, answer=WRONG),
        attempt(Q, answer="[]"),
        unjudged(Q, said("1"), NEXT),
        attempt(Q, said("[]"), ("user", ERROR), answer="1"),
    ]
    found = await links(tmp_path / "a.db", *made)
    assert (made[5].id, made[5].id, "client") == found[-1]
    assert [] == wrong_in(tmp_path / "a.db", made[3])
    assert [] == wrong_in(tmp_path / "a.db", made[6])


async def test_what_stands_on_a_named_response_is_not_looked_at(tmp_path: Path) -> None:
    """No line is made of it, as a part of its prompt is not there."""
    before = attempt(Q, answer=WRONG)
    after = unjudged(Q, said(WRONG), NEXT, previous_response_id="resp_1")
    assert [] == await wrong_after(tmp_path, before, after)
