"""What is wrong about calls: one that was due, and one of what was not offered."""

import msgspec
import pytest

from storage.records import Json
from tests.proxy.schemas.questions import (
    ARGUMENTS,
    CONTENT,
    OTHER,
    POINT,
    TOOLS,
    bound,
    call,
    chat,
    judged,
    say,
    told,
)

SEARCH: Json = {"type": "web_search"}


@pytest.mark.parametrize("text", [None, '{"x": 1}'])
def test_a_call_that_was_forced_and_is_missing_is_invalid(text: str | None) -> None:
    choice = {"type": "function", "function": {"name": "move"}}
    (one,) = judged(chat(say(text), **TOOLS, tool_choice=choice))
    assert (CONTENT, "move", "invalid") == (one.slot, one.schema, one.verdict)
    assert "The tool move was to be called and was not." == one.faults[0].message


@pytest.mark.parametrize(
    ("others", "which"),
    [([], "The tool move"), ([OTHER], "A tool")],
)
def test_a_call_that_was_required_and_is_missing_is_invalid(
    others: list[Json], which: str
) -> None:
    asked: Json = {"tools": [*others, *TOOLS["tools"]], "tool_choice": "required"}
    (one,) = judged(chat(say("I moved."), **asked))
    assert (CONTENT, "move", "tool", "invalid") == (
        *(one.slot, one.schema, one.why, one.verdict),
    )
    assert f"{which} was to be called and was not." == one.faults[0].message
    (one,) = judged(chat(say(None, refusal="No."), **asked))
    assert "refused" == one.verdict
    (one,) = judged(chat(say("I mo"), finish_reason="length", **asked))
    assert "truncated" == one.verdict
    assert () == judged(chat(call("{}", "other"), say("No."), tools=[OTHER]))


def test_another_call_is_not_the_one_that_was_forced() -> None:
    choice = {"type": "function", "function": {"name": "move"}}
    asked: Json = {"tools": [*TOOLS["tools"], OTHER], "tool_choice": choice}
    (one,) = judged(chat(call("{}", "other"), **asked))
    assert (CONTENT, "move", "invalid") == (one.slot, one.schema, one.verdict)


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_call_of_a_tool_that_was_not_offered_is_invalid(choice: str) -> None:
    asked: Json = {**TOOLS, "tool_choice": choice}
    (one,) = judged(chat(call('{"x": 1}', "mov\ud800e"), **asked))
    assert (ARGUMENTS, "move", "invalid") == (one.slot, one.schema, one.verdict)
    assert "The tool mov?e was not offered." == one.faults[0].message
    asked = msgspec.structs.replace(chat(call("{}", "mo"), **asked), complete=False)
    assert [(ARGUMENTS, "move", "tool", "truncated")] == told(asked)


@pytest.mark.parametrize("tools", [[SEARCH, *TOOLS["tools"]], [OTHER], []])
def test_where_not_all_tools_are_known_no_call_is_missing_or_foreign(
    tools: list[Json],
) -> None:
    """A tool of the provider's own calls in its own way, or brings functions along."""
    for message in (say("Done."), call("{}", "search.open")):
        assert () == judged(chat(message, tools=tools, tool_choice="required"))


def test_a_tool_that_was_forced_has_the_schema_that_is_bound_to_it() -> None:
    choice = {"type": "function", "function": {"name": "move"}}
    asked = chat(say(None), **TOOLS, tool_choice=choice)
    tooled = bound(POINT, "point@3", "binding:7", "move")
    asked = msgspec.structs.replace(asked, bound=(tooled,))
    assert [(CONTENT, "point@3", "binding:7", "invalid")] == told(asked)
