"""An upstream that answers in the style it is asked in, with payloads one by one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.clients.upstream import response
from tests.scripted_upstream import DONE, RawRequest, Script, Wire

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def answering(payloads: Mapping[str, Sequence[Any]]) -> Script:
    """Return the script that says a model's payloads, one after the other."""
    left = {model: list(told) for model, told in payloads.items()}

    async def script(request: RawRequest, wire: Wire) -> None:
        asked = request.json
        payload = left[asked["model"]].pop(0)
        if request.target.endswith(b"/responses"):
            answer = response(*items(asked, payload))
            if asked.get("stream"):
                await wire.events(*response_events(answer))
            else:
                await wire.answer(json.dumps(answer).encode())
        elif asked.get("stream"):
            await wire.events(*chat_events(message(asked, payload)))
        else:
            await wire.answer(json.dumps(chat(message(asked, payload))).encode())

    return script


def message(asked: dict[str, Any], payload: Any) -> dict[str, Any]:
    """Return the assistant's message, with its payload where the request wants it."""
    said: dict[str, Any] = {"role": "assistant", "content": None}
    text = payload if isinstance(payload, str) else json.dumps(payload)
    if "tools" in asked:
        names = [tool["function"]["name"] for tool in asked["tools"]]
        texts = [text] if len(names) == 1 else [json.dumps(one) for one in payload]
        return said | {"tool_calls": calls(names, texts)}
    if "functions" in asked:
        name = asked["function_call"]["name"]
        return said | {"function_call": {"name": name, "arguments": text}}
    if "```json" in json.dumps(asked["messages"]):
        text = f"Here it is:\n```json\n{text}\n```"
    return said | {"content": text}


def calls(names: Sequence[str], texts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{name}",
            "type": "function",
            "function": {"name": name, "arguments": text},
        }
        for name, text in zip(names, texts, strict=True)
    ]


def chat(said: dict[str, Any]) -> dict[str, Any]:
    finish_reason = "tool_calls" if "tool_calls" in said else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m-served",
        "choices": [{"index": 0, "message": said, "finish_reason": finish_reason}],
        "usage": USAGE,
    }


def chat_events(said: dict[str, Any]) -> list[bytes]:
    """Return the events of a stream, its payload in two halves."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for index, call in enumerate(said.get("tool_calls", ())):
        name, text = call["function"]["name"], call["function"]["arguments"]
        first = call | {"index": index, "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [first]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": half}}]}
            for half in halves(text)
        ]
    if "function_call" in said:
        called = said["function_call"]
        deltas.append({"function_call": {"name": called["name"], "arguments": ""}})
        deltas += [
            {"function_call": {"arguments": half}}
            for half in halves(called["arguments"])
        ]
    deltas += [{"content": half} for half in halves(said["content"] or "")]
    finish_reason = "tool_calls" if "tool_calls" in said else "stop"
    ends = [None] * len(deltas) + [finish_reason]
    return [
        b"data: " + json.dumps(chunk(delta, end)).encode() + b"\n\n"
        for delta, end in zip([*deltas, {}], ends, strict=True)
    ] + [DONE]


def chunk(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m-served",
        "choices": [choice],
    }


def items(asked: dict[str, Any], payload: Any) -> list[dict[str, Any]]:
    """Return the output of a Response, a reasoning item before the call."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    name = next(tool["name"] for tool in asked["tools"] if tool["type"] == "function")
    return [
        {"id": "rs_1", "type": "reasoning", "summary": []},
        {
            "id": "fc_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "call_1",
            "name": name,
            "arguments": text,
        },
    ]


def response_events(answer: dict[str, Any]) -> list[bytes]:
    """Return the events of a streamed Response."""
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": answer | {"output": []}}
    ]
    for index, item in enumerate(answer["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        begun = item | ({"arguments": ""} if "arguments" in item else {})
        events.append({"type": "response.output_item.added", "item": begun} | at)
        if "arguments" in item:
            kind = "response.function_call_arguments"
            events += [
                {"type": f"{kind}.delta", "delta": half} | at
                for half in halves(item["arguments"])
            ]
            done = {"arguments": item["arguments"], "name": item["name"]}
            events.append({"type": f"{kind}.done"} | done | at)
        events.append({"type": "response.output_item.done", "item": item} | at)
    events.append({"type": "response.completed", "response": answer})
    return [
        f"event: {event['type']}\ndata: ".encode()
        + json.dumps(event | {"sequence_number": number}).encode()
        + b"\n\n"
        for number, event in enumerate(events)
    ]


def halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [half for half in (text[:middle], text[middle:]) if half]
