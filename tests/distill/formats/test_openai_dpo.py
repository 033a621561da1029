"""OpenAI's preference lines: what was rejected and chosen, for the prompt as meant."""

from typing import Any

import msgspec
import pytest

from distill.formats import openai_chat
from distill.formats.openai_dpo import examples
from distill.pairs import Json, Pair
from tests.distill.pairs import completion, pair

SYSTEM = {"role": "system", "content": "Classify."}
USER = {"role": "user", "content": "late parcel"}
WRONG, RIGHT = {"content": '{"label":1}'}, {"content": '{"label":"shipping"}'}
ERROR = {"role": "user", "content": "Correct your JSON: label is no string"}
TOOL = {"type": "function", "function": {"name": "label", "parameters": {}}}
ROOT = [SYSTEM, USER]
AGAIN = [*ROOT, {"role": "assistant", **WRONG}, ERROR]


def asked(*messages: Json, **more: Any) -> Json:
    return {"model": "m", "messages": list(messages), **more}


def rejected(
    request: Json | None = None, answer: Json | None = None, **more: Any
) -> Pair:
    given = {"verdict": "invalid", **more}
    return pair(request or asked(*ROOT), answer or completion(WRONG), **given)


def chosen(
    first: Pair | None, request: Json | None = None, answer: Json | None = None,
    **more: Any,
) -> Pair:  # fmt: skip
    given = {"verdict": "valid", "first": first, **more}
    return pair(request or asked(*AGAIN), answer or completion(RIGHT), **given)


def test_wrong_answers_of_a_prompt_are_not_looked_for() -> None:
    def never() -> frozenset[int]:
        raise AssertionError

    first = msgspec.structs.replace(rejected(), wrong=never)
    (line,) = examples(msgspec.structs.replace(chosen(first), wrong=never))
    assert isinstance(line, dict)


def test_the_prompt_is_the_first_ones_and_both_answers_stand_beside_it() -> None:
    expected = {
        "input": {"messages": ROOT},
        "preferred_output": [{"role": "assistant", **RIGHT}],
        "non_preferred_output": [{"role": "assistant", **WRONG}],
    }
    assert [expected] == list(examples(chosen(rejected())))


def test_calls_of_tools_are_outputs_and_their_tools_stay() -> None:
    def call(arguments: str) -> Json:
        function = {"name": "label", "arguments": arguments}
        return {"tool_calls": [{"id": "c", "type": "function", "function": function}]}

    more: dict[str, Any] = {"tools": [TOOL], "parallel_tool_calls": False}
    first = rejected(asked(USER, **more), completion(call("{}")))
    result = {"role": "tool", "tool_call_id": "c", "content": "label is missing"}
    again = asked(USER, {"role": "assistant", **call("{}")}, result, **more)
    (line,) = examples(chosen(first, again, completion(call('{"label":"x"}'))))
    assert {
        "input": {"messages": [USER], **more},
        "preferred_output": [{"role": "assistant", **call('{"label":"x"}')}],
        "non_preferred_output": [{"role": "assistant", **call("{}")}],
    } == line


def test_several_calls_stay_together() -> None:
    def calls(*arguments: str) -> Json:
        return {
            "tool_calls": [
                {
                    "id": f"c{number}",
                    "type": "function",
                    "function": {"name": "label", "arguments": text},
                }
                for number, text in enumerate(arguments)
            ]
        }

    first = rejected(asked(USER, tools=[TOOL]), completion(calls("{}", "[]")))
    right = completion(calls("{}", '{"label":"x"}'))
    (line,) = examples(chosen(first, answer=right))
    assert isinstance(line, dict)
    assert [{"role": "assistant", **calls("{}", "[]")}] == line["non_preferred_output"]
    assert 2 == len(line["preferred_output"][0]["tool_calls"])


def test_responses_become_the_same_line() -> None:
    def response(text: str) -> Json:
        part = {"type": "output_text", "text": text}
        message = {"type": "message", "role": "assistant", "content": [part]}
        return {"status": "completed", "output": [message]}

    first = pair(
        {"instructions": "Classify.", "input": "late parcel"},
        response(WRONG["content"]),
        endpoint="responses",
        verdict="invalid",
    )
    again = {"input": ERROR["content"], "previous_response_id": "resp_1"}
    last = pair(
        again, response(RIGHT["content"]),
        endpoint="responses", verdict="valid", first=first,
    )  # fmt: skip
    (line,) = examples(last)
    assert isinstance(line, dict)
    assert ROOT == line["input"]["messages"]
    assert [{"role": "assistant", **WRONG}] == line["non_preferred_output"]


IMAGE = {"type": "image_url", "image_url": {"url": "https://x.invalid/a.png"}}
SEEN = {"role": "user", "content": [{"type": "text", "text": "see"}, IMAGE]}
READ = {"role": "user", "content": [{"type": "text", "text": "read"}]}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (chosen(None), "no_reask"),
        (chosen(rejected(), verdict="invalid"), "not_valid"),
        (chosen(rejected(), verdict=None), "not_valid"),
        (chosen(rejected(verdict="valid")), "not_set_right"),
        (chosen(rejected(verdicts={"other@1": "invalid"})), "not_set_right"),
        (chosen(rejected(), verdicts={"other@1": "valid"}), "not_set_right"),
        (chosen(rejected(), verdicts={"label@1": "invalid"}), "not_set_right"),
        (chosen(rejected(), state="incomplete"), "incomplete"),
        (chosen(rejected(state="incomplete")), "incomplete"),
        (chosen(rejected(status=429)), "status"),
        (chosen(rejected(content_kept=False)), "content_not_kept"),
        (chosen(rejected(answer=completion(WRONG, WRONG))), "several_choices"),
        (chosen(rejected(), answer=completion(RIGHT, RIGHT)), "several_choices"),
        (chosen(rejected(answer=completion({"content": ""}))), "empty_message"),
        (chosen(rejected(asked(SEEN))), "unsupported_content"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_pair_says_why(given: Pair, reason: str) -> None:
    assert [reason] == list(examples(given))


def test_texts_in_parts_are_taken() -> None:
    (line,) = examples(chosen(rejected(asked(READ))))
    assert isinstance(line, dict)
    assert [READ] == line["input"]["messages"]


def test_training_lines_leave_out_wrong_answers_and_the_talk_of_errors() -> None:
    assert ["invalid"] == list(openai_chat.examples(rejected()))
    (line,) = openai_chat.examples(chosen(rejected()))
    assert isinstance(line, dict)
    assert [*ROOT, {"role": "assistant", **RIGHT}] == line["messages"]
