"""Calls on the way: what was due and is missing, and what was not to be had."""

import json
from pathlib import Path

import pytest

from storage.records import Fault, Json
from storage.schemas import Rule
from tests.scripted_upstream import DONE, RawRequest, Wire, completion, delta
from tests.wire.judging import (
    FUNCTION,
    RIGHT,
    TOOL,
    asked,
    asking,
    calling,
    registered,
)
from tests.wire.scene import CHAT_PATH, scene

pytestmark = pytest.mark.anyio

CONTENT = "/choices/0/message/content"
ARGUMENTS = "/choices/0/message/tool_calls/0/function/arguments"
NAME: Json = {"name": "pay"}
NO_CALL = b'{"status": "completed", "output": []}'


def calls(fragment: Json) -> bytes:
    """Return an event with a fragment of a call."""
    its = [{"index": 0, "delta": {"tool_calls": [fragment]}, "finish_reason": None}]
    return b"data: " + json.dumps({"id": "c", "choices": its}).encode() + b"\n\n"


def responding(*more: dict[str, str], **members: object) -> bytes:
    """Return the body of a request for a Response, with tools of these kinds too."""
    tools = [{"type": "function", **FUNCTION}, *more]
    body = {"model": "m-1", "input": "how much?", "tools": tools, **members}
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("members", "answer", "slot", "fault"),
    [
        ({"tool_choice": "required"}, completion(RIGHT), CONTENT,
         "The tool pay was to be called and was not."),
        ({"tool_choice": "required"}, b"no answer at all", CONTENT,
         "The tool pay was to be called and was not."),
        ({}, calling(RIGHT, name="another"), ARGUMENTS,
         "The tool another was not offered."),
    ],
)  # fmt: skip
async def test_a_call_that_is_missing_or_was_not_to_be_had_is_invalid(
    tmp_path: Path, *, members: dict[str, str], answer: bytes, slot: str, fault: str
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    async with scene(tmp_path, script) as it:
        status, _, data = await asked(it, asking(tools=[TOOL], **members))
        assert (200, answer) == (status, data)
        kept = await it.one()
        (judged,) = kept.judgements
        assert (slot, "pay", "tool") == (judged.slot, judged.schema, judged.why)
        assert ("invalid", (Fault("", "", fault),)) == (judged.verdict, judged.faults)


@pytest.mark.parametrize(
    "answer",
    [completion("I have paid."), calling(RIGHT, name="another")],
    ids=["text", "foreign"],
)
async def test_the_policy_of_the_tool_that_had_to_be_called_counts(
    tmp_path: Path, answer: bytes
) -> None:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    await registered(tmp_path / "s.db", Rule(tool="pay"), policy="enforce")
    async with scene(tmp_path, script) as it:
        body = asking(tools=[TOOL], tool_choice="required")
        status, _, data = await asked(it, body)
        (fault,) = json.loads(data)["error"]["faults"]
        assert (502, "invoice@1") == (status, fault["schema"])


async def test_beside_the_call_that_was_due_a_foreign_one_breaks_no_binding(
    tmp_path: Path,
) -> None:
    answer = calling(RIGHT, also=("another",))

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    await registered(tmp_path / "s.db", Rule(tool="pay"), policy="enforce")
    async with scene(tmp_path, script) as it:
        body = asking(tools=[TOOL], tool_choice="required")
        status, _, data = await asked(it, body)
        assert (200, answer) == (status, data)
        due, foreign = (await it.one()).judgements
        assert ("binding:1", "valid") == (due.why, due.verdict)
        assert ("tool", "invalid", "") == (
            *(foreign.why, foreign.verdict, foreign.followed),
        )
        assert "The tool another was not offered." == foreign.faults[0].message


@pytest.mark.parametrize(
    ("choice", "status"),
    [("required", 200), ({"type": "function", "name": "pay"}, 502)],
)
async def test_a_call_of_the_upstreams_own_tool_is_a_call(
    tmp_path: Path, *, choice: str | dict[str, str], status: int
) -> None:
    output = [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]
    answer = json.dumps({"status": "completed", "output": output}).encode()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    await registered(tmp_path / "s.db", Rule(tool="pay"), policy="enforce")
    async with scene(tmp_path, script) as it:
        body = responding(tool_choice=choice)
        found, _, _ = await asked(it, body, path="/v1/responses")
        assert status == found


@pytest.mark.parametrize(
    ("choice", "item"),
    [
        ({"type": "custom", "name": "pay"},
         {"type": "custom_tool_call", "name": "pay", "input": "seven"}),
        ({"type": "mcp", "server_label": "bank", "name": "pay"},
         {"type": "mcp_call", "server_label": "bank", "name": "pay",
          "arguments": "{}"}),
    ],
)  # fmt: skip
async def test_a_forced_call_of_what_is_no_function_is_not_missing(
    tmp_path: Path, *, choice: dict[str, str], item: dict[str, str]
) -> None:
    answer = json.dumps({"status": "completed", "output": [item]}).encode()

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    await registered(tmp_path / "s.db", Rule(tool="pay"), policy="enforce")
    async with scene(tmp_path, script) as it:
        body = responding(choice, tool_choice=choice)
        status, _, data = await asked(it, body, path="/v1/responses")
        assert (200, answer) == (status, data)
        assert () == (await it.one()).judgements


@pytest.mark.parametrize("mode", ["required", "auto"])
@pytest.mark.parametrize("path", [CHAT_PATH, "/v1/responses"])
async def test_a_call_is_missing_where_the_mode_of_allowed_tools_requires_one(
    tmp_path: Path, *, path: str, mode: str
) -> None:
    answer = {CHAT_PATH: completion("I have paid.")}.get(path, NO_CALL)

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(answer)

    named: list[Json] = [{"type": "function", "name": "pay"}]
    choice: Json = {"type": "allowed_tools", "mode": mode, "tools": named}
    body = responding(tool_choice=choice)
    if path == CHAT_PATH:
        named = [{"type": "function", "function": NAME}]
        allowed: Json = {"mode": mode, "tools": named}
        choice = {"type": "allowed_tools", "allowed_tools": allowed}
        body = asking(tools=[TOOL], tool_choice=choice)
    await registered(tmp_path / "s.db", Rule(tool="pay"), policy="enforce")
    async with scene(tmp_path, script) as it:
        status, _, _ = await asked(it, body, path=path)
        assert (502 if mode == "required" else 200) == status


@pytest.mark.parametrize(
    ("names", "status", "flags"),
    [(("p", "ay"), 200, ("tool_renamed",)), (("pay", "pay"), 200, ()),
     (("p", "pay"), 200, ()), (("other", "other"), 502, ())],
)  # fmt: skip
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": NAME}])
async def test_a_call_whose_name_came_in_parts_is_neither_foreign_nor_missing(
    tmp_path: Path, *, choice: Json, names: tuple[str, str], status: int, flags: Json
) -> None:
    first, second = names
    opened = {"index": 0, "id": "call_1", "function": {"name": first, "arguments": ""}}
    rest = {"index": 0, "function": {"name": second, "arguments": RIGHT}}

    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.events(calls(opened), calls(rest), delta("", "tool_calls"), DONE)

    await registered(tmp_path / "s.db", Rule(tool="pay"), policy="enforce")
    async with scene(tmp_path, script) as it:
        body = asking(tools=[TOOL], tool_choice=choice, stream=True)
        found, _, _ = await asked(it, body)
        assert status == found
        assert flags == (await it.one()).flags
