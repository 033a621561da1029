"""What is said of an answer, for every style in which JSON is asked for."""

import msgspec
import pytest

from proxy.schemas.judge import Unknown, summary
from storage.records import Json
from tests.proxy.schemas.questions import (
    ARGUMENTS,
    CONTENT,
    FORMAT,
    OTHER,
    POINT,
    TOOLS,
    bound,
    call,
    chat,
    judged,
    question,
    responses,
    say,
    told,
)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"x": 1}', "valid"),
        (' \n{"x": 1}\n', "valid"),
        ('{"x": "1"}', "invalid"),
        ('Here:\n```json\n{"x": 1}\n```', "valid"),
        ('First {"x": "no"}, or rather {"x": 2}.', "valid"),
        ("no JSON", "invalid"),
        ("", "invalid"),
    ],
)
def test_the_text_is_judged_by_the_format_it_was_asked_in(
    text: str, verdict: str
) -> None:
    expected = [(CONTENT, "point", "response_format", verdict)]
    assert expected == told(chat(say(text), **FORMAT))


def test_a_fault_says_where_in_the_answer_and_in_the_schema() -> None:
    (one,) = judged(chat(say('{"x": 1, "y": "high"}'), **FORMAT))
    (fault,) = one.faults
    assert ("/y", "/properties/y/type") == (fault.at, fault.rule)
    assert '"high" is not of type "integer"' == fault.message


def test_every_choice_is_judged() -> None:
    told_of = told(chat(say('{"x": 1}'), say("{}"), **FORMAT))
    assert ["valid", "invalid"] == [verdict for *_, verdict in told_of]
    assert "/choices/1/message/content" == told_of[1][0]


def test_every_call_is_judged_by_its_own_tool() -> None:
    other = {"type": "object", "required": ["z"]}
    tools = [
        {"type": "function", "function": {"name": "move", "parameters": POINT}},
        {"type": "function", "function": {"name": "turn", "parameters": other}},
    ]
    message = call('{"x": 1}')
    message["tool_calls"] += call('{"x": 1}', "turn")["tool_calls"]
    message["tool_calls"] += call("{}", "unheard_of")["tool_calls"]
    second, third = (ARGUMENTS.replace("/0/f", f"/{at}/f") for at in (1, 2))
    expected = [
        (ARGUMENTS, "move", "tool", "valid"),
        (second, "turn", "tool", "invalid"),
        (third, "move", "tool", "invalid"),  # the first of those offered
    ]
    assert expected == told(chat(message, tools=tools))


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ('{"x": 1}', "valid"),
        ({"x": 1}, "valid"),  # as some servers send them
        ('{"x": 1} and so on', "invalid"),
        ('```json\n{"x": 1}\n```', "invalid"),
        ("", "invalid"),  # as {}, and x is required
    ],
)
def test_arguments_are_judged_whole(arguments: Json, verdict: str) -> None:
    expected = [(ARGUMENTS, "move", "tool", verdict)]
    assert expected == told(chat(call(arguments), **TOOLS))


def test_no_arguments_are_an_empty_object() -> None:
    tools = [{"type": "function", "function": {"name": "move", "parameters": {}}}]
    assert [(ARGUMENTS, "move", "tool", "valid")] == told(chat(call(""), tools=tools))


def test_a_function_call_of_old_is_judged() -> None:
    message = say(None, function_call={"name": "move", "arguments": '{"x": 1}'})
    functions = [{"name": "move", "parameters": POINT}]
    slot = "/choices/0/message/function_call/arguments"
    expected = [(slot, "move", "function", "valid")]
    assert expected == told(chat(message, functions=functions))


def test_a_response_is_judged_by_its_format_and_its_flat_tools() -> None:
    part = {"type": "output_text", "text": '{"x": 1}'}
    output: list[dict[str, Json]] = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [part]},
        {"type": "function_call", "name": "move", "arguments": '{"x": "1"}'},
    ]
    form = {"type": "json_schema", "name": "point", "schema": POINT}
    tools = [{"type": "function", "name": "move", "parameters": POINT}]
    expected = [
        ("/output/1/content/0/text", "point", "text.format", "valid"),
        ("/output/2/arguments", "move", "tool", "invalid"),
    ]
    assert expected == told(responses(*output, text={"format": form}, tools=tools))


def test_a_schema_beside_json_object_counts() -> None:
    form = {"type": "json_object", "schema": POINT}
    expected = [(CONTENT, "json_object", "response_format", "invalid")]
    assert expected == told(chat(say("{}"), response_format=form))


def test_a_text_completion_is_judged_by_registered_schemas() -> None:
    answer = {"choices": [{"text": '{"x": 1}', "finish_reason": "stop"}]}
    asked = question("completions", answer, {"prompt": "p", **FORMAT})
    assert [] == told(asked)
    asked = msgspec.structs.replace(asked, bound=(bound(POINT),))
    assert [("/choices/0/text", "point@1", "tag", "valid")] == told(asked)


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        (say(None, refusal="I would rather not."), FORMAT),
        (say("I would rather not.", refusal="No."), FORMAT),
        (
            say(None, refusal="No."),
            TOOLS | {"tool_choice": {"type": "function", "function": {"name": "move"}}},
        ),
    ],
)
def test_a_refusal_is_refused(message: dict[str, Json], asked: Json) -> None:
    (one,) = judged(chat(message, **asked))
    assert ("/choices/0/message/refusal", "refused") == (one.slot, one.verdict)


def test_a_refusing_part_of_a_response_is_refused() -> None:
    parts = [{"type": "output_text", "text": "Well."}]
    parts += [{"type": "refusal", "refusal": "No."}]
    item = {"type": "message", "role": "assistant", "content": parts}
    form = {"type": "json_schema", "name": "point", "schema": POINT}
    (one,) = judged(responses(item, text={"format": form}))
    assert ("/output/0/content/1/refusal", "refused") == (one.slot, one.verdict)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"x": 1, "y', "truncated"),
        ('[{"x": 1}, {"x"', "truncated"),
        ('Like {"x": 1} and', "truncated"),
        ('{"x": 1}\nAs you can', "truncated"),
        ("", "truncated"),
        ('{"x": 1}', "valid"),
        ('{"x": "1"}', "invalid"),
    ],
)
def test_what_was_cut_short_is_truncated_unless_its_json_is_whole(
    text: str, verdict: str, reason: str
) -> None:
    (one,) = judged(chat(say(text), finish_reason=reason, **FORMAT))
    assert verdict == one.verdict


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        ("", "truncated"),
        ('{"x": 1', "truncated"),
        ('{"x": 1}', "valid"),
        ('{"x": 1} {"x', "invalid"),
    ],
)
def test_arguments_cut_short_are_truncated_unless_they_are_whole(
    arguments: str, verdict: str
) -> None:
    (one,) = judged(chat(call(arguments), finish_reason="length", **TOOLS))
    assert verdict == one.verdict


def test_a_text_that_went_on_behind_its_json_and_was_cut_short_is_truncated() -> None:
    (one,) = judged(chat(say('{"x": 1} and'), finish_reason="length", **FORMAT))
    assert "truncated" == one.verdict


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_in_the_background_is_not_judged(status: str) -> None:
    form = {"type": "json_schema", "name": "point", "schema": POINT}
    asked = responses(status=status, background=True, text={"format": form})
    assert () == judged(asked)
    (one,) = judged(msgspec.structs.replace(asked, complete=False))  # it broke off
    assert "truncated" == one.verdict


def test_what_broke_off_is_truncated() -> None:
    asked = chat(say('{"x": 1, "y'), **FORMAT)
    (one,) = judged(msgspec.structs.replace(asked, complete=False))
    assert "truncated" == one.verdict


def test_an_incomplete_response_is_truncated() -> None:
    part = {"type": "output_text", "text": '{"x": 1'}
    item = {"type": "message", "content": [part]}
    form = {"type": "json_schema", "name": "point", "schema": POINT}
    (one,) = judged(responses(item, status="incomplete", text={"format": form}))
    assert "truncated" == one.verdict


def test_what_is_kept_in_part_is_unchecked() -> None:
    asked = chat(say('{"x": 1, "y'), **FORMAT)
    (one,) = judged(msgspec.structs.replace(asked, kept=False))
    assert ("unchecked", "not_kept") == (one.verdict, one.reason)


def test_a_broken_text_is_invalid_though_a_part_of_it_is_json() -> None:
    (one,) = judged(chat(say('{"points": [{"x": 1}], }'), **FORMAT))
    assert "invalid" == one.verdict
    assert "This is not JSON" in one.faults[0].message


@pytest.mark.parametrize("status", [0, 400, 500])
def test_an_error_is_not_judged(status: int) -> None:
    asked = chat(say("{}"), **FORMAT)
    assert () == judged(msgspec.structs.replace(asked, status=status))


def test_what_no_schema_concerns_is_not_judged() -> None:
    assert () == judged(chat(say("Hello.")))
    assert () == judged(chat(say("Hello."), **TOOLS))
    assert () == judged(chat(say("{}"), response_format={"type": "json_object"}))


def test_a_registered_schema_comes_before_the_one_of_the_request() -> None:
    asked = chat(say('{"x": 1}'), **FORMAT)
    strict = bound(POINT | {"required": ["x", "y"]}, "point@2", "header")
    asked = msgspec.structs.replace(asked, bound=(strict, bound(POINT)))
    assert [(CONTENT, "point@2", "header", "invalid")] == told(asked)


@pytest.mark.parametrize(
    "request_",
    [
        TOOLS | {"tool_choice": {"type": "function", "function": {"name": "move"}}},
        TOOLS | {"tool_choice": "required"},
        {},  # as recorded answers are tried, which are read without their requests
    ],
)
def test_a_registered_schema_means_the_call_that_was_to_be_the_answer(
    request_: dict[str, Json],
) -> None:
    asked = chat(call('{"x": 1}'), **request_)
    asked = msgspec.structs.replace(asked, bound=(bound(POINT),))
    assert [(ARGUMENTS, "point@1", "tag", "valid")] == told(asked)


@pytest.mark.parametrize("choice", ["auto", "required", {"name": "other"}])
def test_a_registered_schema_leaves_calls_on_the_way_to_their_tools(
    choice: Json,
) -> None:
    both = [*TOOLS["tools"], OTHER]
    tools = both if choice != "auto" else TOOLS["tools"]
    asked = chat(call('{"x": 1}'), tools=tools, tool_choice=choice)
    invoice = bound({"required": ["total"]}, "invoice@1", "header")
    asked = msgspec.structs.replace(asked, bound=(invoice,))
    assert [(ARGUMENTS, "move", "tool", "valid")] == told(asked)
    asked = chat(call("{}", "other"), tools=both, tool_choice="auto")
    assert [] == told(msgspec.structs.replace(asked, bound=(invoice,)))


def test_a_registered_schema_leaves_the_calls_beside_a_text_to_their_tools() -> None:
    message = call('{"x": 1}') | {"content": '{"x": "one"}'}
    asked = msgspec.structs.replace(chat(message, **TOOLS), bound=(bound(POINT),))
    expected = [
        (CONTENT, "point@1", "tag", "invalid"),
        (ARGUMENTS, "move", "tool", "valid"),
    ]
    assert expected == told(asked)


def test_a_schema_bound_to_a_tool_means_its_calls_only() -> None:
    asked = chat(say('{"x": 1}'), call('{"x": 1}'), **FORMAT)
    tooled = bound(POINT, "point@3", "binding:7", "move")
    asked = msgspec.structs.replace(asked, bound=(tooled,))
    expected = [
        (CONTENT, "point", "response_format", "valid"),
        (ARGUMENTS.replace("/0/m", "/1/m"), "point@3", "binding:7", "valid"),
    ]
    assert expected == told(asked)


def test_an_unknown_schema_leaves_its_slot_unchecked() -> None:
    asked = chat(say('{"x": 1}'), **FORMAT)
    unknown = Unknown("pint@9", "header")
    (one,) = judged(msgspec.structs.replace(asked, bound=(unknown,)))
    assert ("pint@9", b"", "header") == (one.schema, one.digest, one.why)
    assert ("unchecked", "unknown_schema") == (one.verdict, one.reason)


def test_a_schema_that_is_none_leaves_the_answer_unchecked() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": 1}}}
    (one,) = judged(chat(say("{}"), response_format=form))
    assert ("unchecked", "schema_refused") == (one.verdict, one.reason)


def test_the_worst_judgement_sums_up() -> None:
    judgements = judged(chat(say('{"x": 1}'), say('{"x": []}'), **FORMAT))
    assert ("point", "invalid", "/x") == summary(judgements)
    assert ("point", "valid", None) == summary(judgements[:1])
    assert (None, None, None) == summary(())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": None},
        {"choices": [None, 7]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": {"tool_calls": [None, {}, {"function": {}}]}}]},
        {"choices": [{"message": {"content": [7, {"type": "text"}]}}]},
    ],
)
@pytest.mark.parametrize("endpoint", ["chat", "responses", "completions", "embeddings"])
def test_an_answer_of_another_form_is_no_error(endpoint: str, answer: Json) -> None:
    asked = question(endpoint, answer, FORMAT | TOOLS)
    asked = msgspec.structs.replace(asked, bound=(bound(POINT),))
    assert {one.verdict for one in judged(asked)} <= {"invalid"}


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b'{"tools',
        b'["tools"]',
        b'{"tools": 7, "response_format": [], "tool_choice": {"function": 3}}',
        b'{"tools": [7, {"function": null}, {"function": {"name": 7}}]}',
        b'{"response_format": {"json_schema": {"schema": null}}}',
        b'{"messages": "\xff", "tools": []}',
    ],
)
def test_a_request_of_another_form_is_no_error(request_: bytes) -> None:
    asked = chat(say("{}"), call("{}"))
    assert () == judged(msgspec.structs.replace(asked, request=request_))
