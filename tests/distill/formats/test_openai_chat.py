"""OpenAI's training lines: the decision table of wire.md, Appendix D, row by row."""

from typing import Any

import msgspec
import pytest

from distill.formats.openai_chat import examples
from tests.distill.pairs import ASK, completion, only_line, pair

USER = {"role": "user", "content": "late parcel"}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object"}},
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
ASKS_WEATHER: list[dict[str, Any]] = [
    {"role": "user", "content": "weather in Oslo?"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "4 C"},
]


def ask(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **more}


def ended(finish_reason: str | None, **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "x", **message}
    return completion({"message": message, "finish_reason": finish_reason})


def test_a_text_answer_becomes_the_line_of_a10() -> None:
    system = {"role": "system", "content": "Classify."}
    answer = {"content": '{"label":"shipping"}'}
    expected = {"messages": [system, USER, {"role": "assistant", **answer}]}
    assert [expected] == list(examples(pair(ask(system, USER), completion(answer))))


def test_a_tool_loop_in_the_prompt_becomes_the_line_of_a10() -> None:
    request = ask(*ASKS_WEATHER, tools=[TOOL], parallel_tool_calls=False)
    answer = {"role": "assistant", "content": "4 degrees"}
    expected = {
        "messages": [*ASKS_WEATHER, answer],
        "tools": [TOOL],
        "parallel_tool_calls": False,
    }
    assert [expected] == list(examples(pair(request, completion(answer))))


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_a_tool_call_is_a_target_whatever_the_finish_reason(finish: str) -> None:
    """A named tool choice ends with `stop` (wire.md 1.3)."""
    answer = ended(finish, content=None, tool_calls=[CALL])
    line = only_line(pair(ask(ASKS_WEATHER[0], tools=[TOOL]), answer))
    assert {"role": "assistant", "tool_calls": [CALL]} == line["messages"][-1]


def test_a_tool_call_keeps_its_arguments_as_written() -> None:
    written = '{ "city":\n"Osl\\u00f8", "n": 1.10 }'
    call = {**CALL, "function": {"name": "get_weather", "arguments": written}}
    line = only_line(pair(ASK, ended("tool_calls", content=None, tool_calls=[call])))
    assert written == line["messages"][-1]["tool_calls"][0]["function"]["arguments"]


def test_keys_that_only_answers_have_are_dropped() -> None:
    noise: dict[str, Any] = {
        "refusal": None,
        "annotations": [],
        "audio": None,
        "parsed": {"a": 1},
        "reasoning": "r",
        "reasoning_content": "r",
        "reasoning_details": [{}],
        "logprobs": None,
        "function_call": None,
        "tool_calls": None,
    }
    past = {"role": "assistant", "content": "b", **noise}
    request = ask(USER, past, USER)
    line = only_line(pair(request, ended("stop", **noise)))
    assert [
        USER,
        {"role": "assistant", "content": "b"},
        USER,
        {"role": "assistant", "content": "x"},
    ] == line["messages"]


def test_the_index_of_a_tool_call_is_dropped() -> None:
    answer = ended("tool_calls", content=None, tool_calls=[{"index": 0, **CALL}])
    line = only_line(pair(ASK, answer))
    assert [CALL] == line["messages"][-1]["tool_calls"]


def test_a_server_that_answers_both_call_shapes_gives_one() -> None:
    """llama.cpp's server fills `function_call` beside `tool_calls`."""
    answer = ended(
        "tool_calls",
        content=None,
        tool_calls=[CALL],
        function_call=CALL["function"],
    )
    line = only_line(pair(ASK, answer))
    assert {"role": "assistant", "tool_calls": [CALL]} == line["messages"][-1]


def test_weights_of_earlier_answers_are_kept() -> None:
    past = {"role": "assistant", "content": "b", "weight": 0}
    line = only_line(pair(ask(USER, past, USER)))
    assert past == line["messages"][1]


def test_wrong_answers_that_a_conversation_went_on_from_are_not_learnt() -> None:
    past = {"role": "assistant", "content": "b"}
    recorded = pair(ask(USER, past, USER, past, USER))
    line = only_line(msgspec.structs.replace(recorded, wrong=lambda: frozenset({3})))
    assert [USER, past, USER, past | {"weight": 0}, USER] == line["messages"][:-1]


def test_wrong_answers_are_looked_for_only_where_a_line_may_come_of_it() -> None:
    def never() -> frozenset[int]:
        raise AssertionError

    for left_out in (
        pair(verdict="invalid"),
        pair(content_kept=False),
        pair(state="incomplete"),
        pair(verdict="valid", first=pair()),  # its own prompt is not written
    ):
        list(examples(msgspec.structs.replace(left_out, wrong=never)))


def test_the_developer_speaks_as_system() -> None:
    line = only_line(pair(ask({"role": "developer", "content": "Be brief."}, USER)))
    assert {"role": "system", "content": "Be brief."} == line["messages"][0]


def test_images_by_address_are_kept() -> None:
    seen = [
        {"type": "text", "text": "what?"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
        },
    ]
    line = only_line(pair(ask({"role": "user", "content": seen})))
    assert seen == line["messages"][0]["content"]


def test_legacy_functions_become_tools() -> None:
    """Appendix A10, last form: ids are made, arguments compact, calls one at a time."""
    call = {"name": "get_weather", "arguments": '{\n  "city": "Oslo"\n}'}
    request = ask(
        USER,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "get_weather", "content": "4 C"},
        functions=[TOOL["function"]],
    )
    answer = ended("function_call", content=None, function_call=call)
    line = only_line(pair(request, completion({"content": "4 degrees"})))
    compact = {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    made = [{"id": "call_1", "type": "function", "function": compact}]
    assert {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": made},
            {"role": "tool", "content": "4 C", "tool_call_id": "call_1"},
            {"role": "assistant", "content": "4 degrees"},
        ],
        "tools": [TOOL],
        "parallel_tool_calls": False,
    } == line
    target = only_line(pair(ask(USER, functions=[TOOL["function"]]), answer))
    assert made == target["messages"][-1]["tool_calls"]


def test_legacy_arguments_that_are_no_json_stay_as_written() -> None:
    call = {"name": "f", "arguments": "{not json"}
    line = only_line(pair(ASK, ended("function_call", function_call=call)))
    written = line["messages"][-1]["tool_calls"][0]["function"]["arguments"]
    assert "{not json" == written


def test_each_good_choice_is_a_line_and_each_bad_one_a_reason() -> None:
    """Vector A3: choice 0 was cut, choice 1 was not."""
    cut = ended("length")["choices"][0]
    good = {"role": "assistant", "content": "Bb"}
    expected = ["length", {"messages": [USER, good]}]
    assert expected == list(examples(pair(ASK, completion(cut, {"content": "Bb"}))))


LEFT_OUT = {
    "broken off": (pair(state="incomplete"), "incomplete"),
    "an error": (pair(status=429), "status"),
    "opted out": (pair(content_kept=False), "content_not_kept"),
    "embeddings": (pair(endpoint="embeddings"), "endpoint"),
    "old completions": (pair(endpoint="completions"), "endpoint"),
    "no JSON": (pair(b"{"), "unreadable"),
    "no object": (pair(b"[]"), "unreadable"),
    "too deep": (pair(b'{"messages":' + b"[" * 100_000), "unreadable"),
    "odd messages": (pair(ask({"role": 1})), "unreadable"),
    "no messages": (pair({"model": "m"}), "unreadable"),
    "no answer": (pair(ASK, {}), "unreadable"),
    "no choice": (pair(ASK, completion()), "empty_message"),
    "cut": (pair(ASK, ended("length")), "length"),
    "filtered": (pair(ASK, ended("content_filter")), "content_filter"),
    "unknown end": (pair(ASK, ended(None)), "finish_reason"),
    "refused": (pair(ASK, ended("stop", refusal="No.", content=None)), "refusal"),
    "too long": (pair(ASK, {**ended("stop"), "usage": {"total_tokens": 65_537}}), "too_long"),
    "empty answer": (pair(ASK, ended("stop", content="")), "empty_message"),
    "spoken answer": (pair(ASK, ended("stop", audio={"id": "a"})), "unsupported_content"),
    "custom tool offered": (
        pair(ask(USER, tools=[{"type": "custom", "custom": {"name": "c"}}])),
        "unsupported_tool",
    ),
    "custom tool called": (
        pair(ASK, ended("tool_calls", tool_calls=[{"id": "c", "type": "custom"}])),
        "unsupported_tool",
    ),
    "audio asked": (
        pair(ask({"role": "user", "content": [{"type": "input_audio"}]})),
        "unsupported_content",
    ),
    "file asked": (
        pair(ask({"role": "user", "content": [{"type": "file"}]})),
        "unsupported_content",
    ),
    "image by id": (
        pair(
            ask(
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "file-1"}}],
                }
            )
        ),
        "unsupported_content",
    ),
    "answer continued": (
        pair(ask(USER, {"role": "assistant", "content": "The"})),
        "broken_turns",
    ),
    "orphan result": (pair(ask(USER, ASKS_WEATHER[2])), "broken_turns"),
    "unanswered call": (pair(ask(*ASKS_WEATHER[:2], USER)), "broken_turns"),
    "empty turn": (pair(ask({"role": "user", "content": None})), "empty_message"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_training_refuses_is_left_out_with_its_reason(name: str) -> None:
    recorded, reason = LEFT_OUT[name]
    assert [reason] == list(examples(recorded))


def test_the_longest_example_that_fits_is_kept() -> None:
    answer = {**ended("stop"), "usage": {"total_tokens": 65_536}}
    assert {"messages"} == set(only_line(pair(ASK, answer)))


def test_a_refusal_in_the_past_is_the_text_it_was() -> None:
    said = {"content": None, "refusal": "I will not."}
    part = {"content": [{"type": "refusal", "refusal": "I will not."}]}
    turns = [{"role": "assistant", **past} for past in (said, part)]
    line = only_line(pair(ask(USER, turns[0], USER, turns[1], USER)))
    as_part = [{"type": "text", "text": "I will not."}]
    assert {"role": "assistant", "content": "I will not."} == line["messages"][1]
    assert {"role": "assistant", "content": as_part} == line["messages"][3]


def test_names_stay_except_on_tool_results() -> None:
    """Instructor names its tool messages, which training refuses (wire.md 7.4)."""
    named = {**ASKS_WEATHER[2], "name": "get_weather"}
    user = {**ASKS_WEATHER[0], "name": "anna"}
    line = only_line(pair(ask(user, ASKS_WEATHER[1], named)))
    assert [user, ASKS_WEATHER[1], ASKS_WEATHER[2]] == line["messages"][:-1]


def test_parallel_tool_calls_needs_tools() -> None:
    line = only_line(pair(ask(USER, parallel_tool_calls=True, tools=[])))
    assert {"messages"} == set(line)
