"""The Responses API read as chat: the mapping at the end of wire.md, Appendix D."""

from typing import Any

import pytest

from distill.formats.openai_chat import examples
from distill.pairs import Pair
from tests.distill.pairs import only_line, pair

TEXT = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "role": "assistant", "content": [TEXT]}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "f",
    "arguments": '{"a":1}',
}
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "4 C"}
CHAT_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a":1}'},
}


def asked(output: list[Any], *, status: str = "completed", **request: Any) -> Pair:
    answer: dict[str, Any] = {"object": "response", "status": status, "output": output}
    if status == "incomplete":
        answer["incomplete_details"] = {"reason": request.pop("why")}
    body = {"model": "m", "input": "hello", **request}
    return pair(body, answer, endpoint="responses")


def test_instructions_and_text_become_system_and_user() -> None:
    line = only_line(asked([MESSAGE], instructions="Be brief."))
    assert {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "Hi"},
        ]
    } == line


def test_items_become_messages_and_reasoning_goes() -> None:
    history = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "what?"},
                {
                    "type": "input_image",
                    "image_url": "https://a/b.png",
                    "detail": "low",
                },
            ],
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "x"},
        MESSAGE,
        CALL,
        {**CALL, "call_id": "call_2"},
        RESULT,
        {
            **RESULT,
            "call_id": "call_2",
            "output": [{"type": "input_text", "text": "5"}],
        },
    ]
    line = only_line(asked([{"type": "reasoning"}, MESSAGE], input=history))
    image = {"url": "https://a/b.png", "detail": "low"}
    assert [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": image},
            ],
        },
        {
            "role": "assistant",
            "content": "Hi",
            "tool_calls": [CHAT_CALL, {**CHAT_CALL, "id": "call_2"}],
        },
        {"role": "tool", "content": "4 C", "tool_call_id": "call_1"},
        {
            "role": "tool",
            "content": [{"type": "text", "text": "5"}],
            "tool_call_id": "call_2",
        },
        {"role": "assistant", "content": "Hi"},
    ] == line["messages"]


def test_flat_tools_are_nested() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}, "strict": True}
    recorded = asked([CALL], tools=[tool], parallel_tool_calls=True)
    line = only_line(recorded)
    nested = {"name": "f", "parameters": {}, "strict": True}
    assert [{"type": "function", "function": nested}] == line["tools"]
    assert line["parallel_tool_calls"] is True
    assert {"role": "assistant", "tool_calls": [CHAT_CALL]} == line["messages"][-1]


REFUSAL = {"type": "refusal", "refusal": "No."}
LEFT_OUT = {
    "parent elsewhere": (asked([MESSAGE], previous_response_id="r"), "prompt_elsewhere"),
    "conversation": (asked([MESSAGE], conversation={"id": "c"}), "prompt_elsewhere"),
    "stored prompt": (asked([MESSAGE], prompt={"id": "p"}), "prompt_elsewhere"),
    "reference": (asked([MESSAGE], input=[{"type": "item_reference"}]), "prompt_elsewhere"),
    "cut": (asked([], status="incomplete", why="max_output_tokens"), "length"),
    "filtered": (asked([], status="incomplete", why="content_filter"), "content_filter"),
    "failed": (asked([], status="failed"), "finish_reason"),
    "nothing said": (asked([]), "empty_message"),
    "said twice": (asked([MESSAGE, MESSAGE]), "broken_turns"),
    "refused": (asked([{**MESSAGE, "content": [REFUSAL]}]), "refusal"),
    "searched": (asked([{"type": "web_search_call"}, MESSAGE]), "unsupported_tool"),
    "search offered": (asked([MESSAGE], tools=[{"type": "web_search"}]), "unsupported_tool"),
    "custom call": (asked([{"type": "custom_tool_call"}]), "unsupported_tool"),
    "file": (
        asked([MESSAGE], input=[{"role": "user", "content": [{"type": "input_file"}]}]),
        "unsupported_content",
    ),
    "odd answer part": (
        asked([{**MESSAGE, "content": [{"type": "output_audio"}]}]),
        "unsupported_content",
    ),
    "no input": (asked([MESSAGE], input=None), "empty_message"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_chat_cannot_say_is_left_out_with_its_reason(name: str) -> None:
    recorded, reason = LEFT_OUT[name]
    assert [reason] == list(examples(recorded))
