"""Wrong answers that were asked for again come out as preference pairs.

The client asks again in the shapes of Instructor (wire.md 7.4), one for each style.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from storage.reading import open_library
from storage.reasks import Link, link_of
from storage.schemas import Rule
from tests.proxy.commands.recording import out
from tests.scripted_upstream import (
    DONE,
    RawRequest,
    Script,
    Wire,
    completion,
    delta,
)
from tests.wire.judging import (
    FORMAT,
    INVOICE,
    RIGHT,
    TOOL,
    WRONG,
    asking,
    calling,
    registered,
)
from tests.wire.scene import CHAT_PATH, Scene, scene

pytestmark = pytest.mark.anyio

USER = {"role": "user", "content": "how much?"}
ERRORS = "Validation Error found:\nprice: no number\nRecall the function correctly"
CORRECT = {"role": "user", "content": f"Correct your JSON ONLY RESPONSE: {ERRORS}"}
RESPONSES_PATH = "/v1/responses"


def called(arguments: str) -> dict[str, Any]:
    function = {"name": "pay", "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def fenced(text: str) -> str:
    return f"Here it is:\n```json\n{text}\n```"


def in_turn(*answers: bytes) -> Script:
    """Answer with these, one after the other."""
    left = list(answers)

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(left.pop(0))

    return script


def streamed(*texts: str) -> Script:
    """Answer with streams of these texts, one after the other."""
    left = list(texts)

    async def script(_: RawRequest, wire: Wire) -> None:
        text = left.pop(0)
        await wire.events(delta(text[:6]), delta(text[6:], "stop"), DONE)

    return script


def response(arguments: str) -> bytes:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "pay",
        "arguments": arguments,
        "status": "completed",
    }
    told = {"object": "response", "id": "resp_1", "status": "completed"}
    return json.dumps({**told, "output": [call]}).encode()


async def ask(it: Scene, *headers: str, path: str = CHAT_PATH, **members: Any) -> None:
    """Ask and read the answer to its end."""
    body = json.dumps({"model": "m-1", **members}).encode()
    async with it.client() as client:
        await client.post(path, body, *headers)
        status, told = await client.head()
        await client.body(told)
    assert 200 == status


def links(db: Path) -> list[Link | None]:
    with open_library(db) as library:
        return [link_of(library.connection, row.seq) for row in library.rows()]


async def exported(db: Path) -> dict[str, Any]:
    """Return the one preference pair of a file."""
    told = await asyncio.to_thread(out, "export", "--format", "openai-dpo", "--db", db)
    (line,) = told.splitlines()
    pair = json.loads(line)
    assert isinstance(pair, dict)
    return pair


BY_CLIENT = [None, Link(1, 1, "client")]
AS_TEXT = {
    "input": {"messages": [USER]},
    "preferred_output": [{"role": "assistant", "content": RIGHT}],
    "non_preferred_output": [{"role": "assistant", "content": WRONG}],
}


async def test_what_the_proxy_repairs_is_a_pair(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", Rule(model="m-*"), policy="repair")
    answers = [completion(text) for text in (WRONG, "words", RIGHT)]
    async with scene(tmp_path, in_turn(*answers)) as it:
        async with it.client() as client:
            await client.post(CHAT_PATH, asking())
            status, told = await client.head()
            given = json.loads(await client.body(told))
        assert (200, RIGHT) == (status, given["choices"][0]["message"]["content"])
        assert 3 == len(await it.settled())
        assert [None, Link(1, 1, "proxy"), Link(2, 1, "proxy")] == links(it.db)
        assert AS_TEXT == await exported(it.db)


async def test_json_mode_asks_again_with_the_answer_and_its_errors(
    tmp_path: Path,
) -> None:
    answers = [completion(WRONG), completion(RIGHT)]
    async with scene(tmp_path, in_turn(*answers)) as it:
        await ask(it, messages=[USER], response_format=FORMAT)
        again = [USER, {"role": "assistant", "content": WRONG}, CORRECT]
        await ask(it, messages=again, response_format=FORMAT)
        await it.settled()
        assert BY_CLIENT == links(it.db)
        assert AS_TEXT == await exported(it.db)


async def test_fenced_answers_are_pairs_where_a_schema_is_named(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db")
    wrong, right = fenced(WRONG), fenced(RIGHT)
    async with scene(tmp_path, in_turn(completion(wrong), completion(right))) as it:
        named = "x-spiritsafe-schema: invoice"
        await ask(it, named, messages=[USER])
        again = [USER, {"role": "assistant", "content": wrong}, CORRECT]
        await ask(it, named, messages=again)
        await it.settled()
        assert BY_CLIENT == links(it.db)
        pair = await exported(it.db)
        assert fenced(RIGHT) == pair["preferred_output"][0]["content"]


async def test_tools_ask_again_with_a_result_that_tells_the_errors(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, in_turn(calling(WRONG), calling(RIGHT))) as it:
        await ask(it, messages=[USER], tools=[TOOL])
        result = {"role": "tool", "tool_call_id": "call_1", "name": "pay"}
        again = [USER, called(WRONG), {**result, "content": ERRORS}]
        await ask(it, messages=again, tools=[TOOL])
        await it.settled()
        assert BY_CLIENT == links(it.db)
        pair = await exported(it.db)
        assert {"messages": [USER], "tools": [TOOL]} == pair["input"]
        for side, arguments in (("preferred", RIGHT), ("non_preferred", WRONG)):
            (call,) = pair[f"{side}_output"][0]["tool_calls"]
            assert arguments == call["function"]["arguments"]


async def test_a_stream_is_asked_for_again_without_its_answer(tmp_path: Path) -> None:
    async with scene(tmp_path, streamed(WRONG, RIGHT)) as it:
        members: dict[str, Any] = {"response_format": FORMAT, "stream": True}
        await ask(it, messages=[USER], **members)
        await ask(it, messages=[USER, CORRECT], **members)
        await it.settled()
        assert BY_CLIENT == links(it.db)
        assert AS_TEXT == await exported(it.db)


async def test_responses_are_asked_again_with_the_arguments_quoted(
    tmp_path: Path,
) -> None:
    tool = {"type": "function", "name": "pay", "parameters": INVOICE}
    async with scene(tmp_path, in_turn(response(WRONG), response(RIGHT))) as it:
        await ask(it, path=RESPONSES_PATH, input=[USER], tools=[tool])
        quoted = {"role": "user", "content": f"{ERRORS}, fix the errors with {WRONG}"}
        await ask(it, path=RESPONSES_PATH, input=[USER, quoted], tools=[tool])
        await it.settled()
        assert BY_CLIENT == links(it.db)
        pair = await exported(it.db)
        assert [USER] == pair["input"]["messages"]
        (call,) = pair["preferred_output"][0]["tool_calls"]
        assert RIGHT == call["function"]["arguments"]


async def test_a_conversation_that_goes_on_is_no_pair(tmp_path: Path) -> None:
    answers = [completion(WRONG), completion(RIGHT)]
    async with scene(tmp_path, in_turn(*answers)) as it:
        await ask(it, messages=[USER], response_format=FORMAT)
        said = {"role": "assistant", "content": WRONG}
        more = {"role": "user", "content": "thank you; and for the next one?"}
        await ask(it, messages=[USER, said, more], response_format=FORMAT)
        await it.settled()
        assert [None, None] == links(it.db)
