"""Conversations that went on from a wrong answer: training lines do not teach it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.proxy.commands.recording import out
from tests.scripted_upstream import completion
from tests.wire.judging import FORMAT, INVOICE, RIGHT, TOOL, WRONG, calling
from tests.wire.scene import Scene, scene
from tests.wire.test_pairs import RESPONSES_PATH, USER, ask, called, in_turn, response

pytestmark = pytest.mark.anyio

THANKS = {"role": "user", "content": "thanks, and the next one?"}
LEFT = {"role": "tool", "tool_call_id": "call_1", "content": "paid"}


async def learnt(it: Scene) -> list[list[Any]]:
    """Return the weights of the assistant's turns, line by line; None is learnt."""
    await it.settled()
    told = await asyncio.to_thread(
        out, "export", "--format", "openai-chat", "--db", it.db
    )
    lines = [json.loads(line)["messages"] for line in told.splitlines()]
    return [
        [one.get("weight") for one in line if one["role"] == "assistant"]
        for line in lines
    ]


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


async def test_a_wrong_answer_has_no_weight_in_any_later_line(tmp_path: Path) -> None:
    answers = [completion(text) for text in (RIGHT, WRONG, RIGHT, RIGHT)]
    talk: list[dict[str, Any]] = [USER]
    async with scene(tmp_path, in_turn(*answers)) as it:
        for answer in (RIGHT, WRONG, RIGHT, RIGHT):
            await ask(it, messages=talk, response_format=FORMAT)
            talk += [said(answer), THANKS]
        expected = [[None], [None, 0, None], [None, 0, None, None]]
        assert expected == await learnt(it)


async def test_the_same_words_are_wrong_only_where_they_were(tmp_path: Path) -> None:
    """What a client has changed, or was wrong elsewhere, is its own business."""
    async with scene(tmp_path, in_turn(*[completion(WRONG)] * 3)) as it:
        await ask(it, messages=[USER], response_format=FORMAT)
        talk = [USER, said(WRONG), THANKS]
        await ask(it, messages=talk)
        talk += [said(WRONG), THANKS]
        await ask(it, messages=talk)
        assert [[0, None], [0, None, None]] == await learnt(it)


async def test_a_wrong_call_has_no_weight(tmp_path: Path) -> None:
    answers = [calling(WRONG), completion("Done.")]
    async with scene(tmp_path, in_turn(*answers)) as it:
        await ask(it, messages=[USER], tools=[TOOL])
        await ask(it, messages=[USER, called(WRONG), LEFT], tools=[TOOL])
        assert [[0, None]] == await learnt(it)


async def test_a_wrong_call_of_a_response_has_no_weight(tmp_path: Path) -> None:
    tool = {"type": "function", "name": "pay", "parameters": INVOICE}
    done = json.loads(response(RIGHT))
    text = {"type": "output_text", "text": "Done.", "annotations": []}
    done["output"] = [{"type": "message", "role": "assistant", "content": [text]}]
    wrong = json.loads(response(WRONG))["output"]
    answers = [response(WRONG), json.dumps({**done, "id": "resp_2"}).encode()]
    left = {"type": "function_call_output", "call_id": "call_1", "output": "paid"}
    async with scene(tmp_path, in_turn(*answers)) as it:
        await ask(it, path=RESPONSES_PATH, input=[USER], tools=[tool])
        await ask(it, path=RESPONSES_PATH, input=[USER, *wrong, left], tools=[tool])
        assert [[0, None]] == await learnt(it)
