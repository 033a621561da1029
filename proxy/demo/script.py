"""What the scripted upstream says: from one request to one answer, never a model's.

Pure. Errors are asked for by model name: `error-400`, `error-429` and so on.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import orjson

Json: TypeAlias = dict[str, Any]

SENTENCE: Final = "This answer is scripted: no model was asked."
USAGE: Final = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
SSE: Final = "text/event-stream; charset=utf-8"
ERRORS: Final = {
    "400": ("invalid_request_error", "invalid_value"),
    "401": ("invalid_request_error", "invalid_api_key"),
    "429": ("requests", "rate_limit_exceeded"),
    "500": ("server_error", None),
}


class Reply(msgspec.Struct, frozen=True):
    """One answer.

    Shapes: `parts` are the body in the pieces it is sent in, an event each.
    """

    parts: Sequence[bytes]
    status: int = 200
    content_type: str = "application/json"


def reply(path: str, body: bytes) -> Reply:
    """Return the scripted answer to one request."""
    request = msgspec.json.decode(body, type=Json) if body else {}
    _, _, code = str(request.get("model", "")).partition("error-")
    if code in ERRORS:
        kind, name = ERRORS[code]
        return _error(int(code), kind, name)
    if path.endswith("/chat/completions"):
        return _chat(request)
    if path.endswith("/responses"):
        return _response(request)
    if path.endswith("/embeddings"):
        return _whole(_embeddings(request))
    if path.endswith("/models"):
        model = {"id": "scripted", "object": "model", "created": 0, "owned_by": "demo"}
        return _whole({"object": "list", "data": [model]})
    return _error(404, "invalid_request_error", "unknown_url")


def _whole(answer: Json, *, status: int = 200) -> Reply:
    return Reply([orjson.dumps(answer)], status=status)


def _error(status: int, kind: str, code: str | None) -> Reply:
    error = {"message": SENTENCE, "type": kind, "param": None, "code": code}
    return _whole({"error": error}, status=status)


def _chat(request: Json) -> Reply:
    message, finish = _message(request)
    known = {"id": "chatcmpl-scripted", "created": 1, "model": request.get("model")}
    indexes = range(request.get("n") or 1)
    if request.get("stream"):
        wants_usage = (request.get("stream_options") or {}).get("include_usage")
        events = _chunks(message, finish, indexes=indexes, with_usage=bool(wants_usage))
        head = {**known, "object": "chat.completion.chunk"}
        lines = [b"data: " + orjson.dumps({**head, **event}) for event in events]
        return Reply([line + b"\n\n" for line in (*lines, b"data: [DONE]")], 200, SSE)
    end = {"logprobs": None, "finish_reason": finish}
    choices = [{"index": index, "message": message, **end} for index in indexes]
    answer = {**known, "object": "chat.completion", "choices": choices, "usage": USAGE}
    return _whole(answer)


def _message(request: Json) -> tuple[Json, str]:
    """Return the assistant's message and why it ends."""
    message: Json = {"role": "assistant", "content": SENTENCE, "refusal": None}
    tools, last = request.get("tools"), request["messages"][-1]
    if tools and last["role"] != "tool":
        function = tools[0]["function"]
        arguments = orjson.dumps(sample(function["parameters"])).decode()
        call = {"name": function["name"], "arguments": arguments}
        calls = [{"id": "call_scripted", "type": "function", "function": call}]
        return {**message, "content": None, "tool_calls": calls}, "tool_calls"
    wanted = request.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        answer = sample(wanted["json_schema"]["schema"])
        return {**message, "content": orjson.dumps(answer).decode()}, "stop"
    return message, "stop"


def _chunks(
    message: Json, finish: str, *, indexes: range, with_usage: bool
) -> Iterator[Json]:
    """Yield a message word by word, all choices side by side."""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for call in message.get("tool_calls", ()):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        opened = {**call, "index": 0, "function": {"name": name, "arguments": ""}}
        rest = {"index": 0, "function": {"arguments": arguments}}
        deltas += {"tool_calls": [opened]}, {"tool_calls": [rest]}
    words = (message["content"] or "").split(" ")
    deltas += ({"content": " " * bool(n) + word} for n, word in enumerate(words))
    ends = [*((delta, None) for delta in deltas), ({}, finish)]
    for delta, end in ends:
        for index in indexes:
            choice = {"index": index, "delta": delta, "finish_reason": end}
            yield {"choices": [choice]} | ({"usage": None} if with_usage else {})
    if with_usage:
        yield {"choices": [], "usage": USAGE}


def _response(request: Json) -> Reply:
    part = {"type": "output_text", "text": SENTENCE, "annotations": []}
    item = {"id": "msg_scripted", "type": "message", "role": "assistant"}
    answer: Json = {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 1,
        "model": request.get("model"),
        "status": "completed",
        "output": [{**item, "status": "completed", "content": [part]}],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 12,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 21,
        },
    }
    if not request.get("stream"):
        return _whole(answer)
    events = _response_events(answer)
    return Reply([_event(event, n) for n, event in enumerate(events)], 200, SSE)


def _response_events(answer: Json) -> Iterator[Json]:
    """Yield a response word by word, as the Responses API does."""
    item = answer["output"][0]
    (part,) = item["content"]
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    opened = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.output_item.added", "output_index": 0, "item": opened}
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for n, word in enumerate(SENTENCE.split(" ")):
        delta = {"delta": " " * bool(n) + word, "logprobs": []}
        yield {"type": "response.output_text.delta", **place, **delta}
    done = {"text": SENTENCE, "logprobs": []}
    yield {"type": "response.output_text.done", **place, **done}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": answer}


def _event(event: Json, number: int) -> bytes:
    name: str = event["type"]
    data = orjson.dumps({**event, "sequence_number": number})
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _embeddings(request: Json) -> Json:
    asked = request["input"]
    count = 1 if isinstance(asked, str) else len(asked)
    vector = "AACAPwAAAAA="  # [1.0, 0.0] as float32: the SDKs ask for base64
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index in range(count)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": request["model"], "usage": usage}


def sample(schema: Json) -> Any:
    """Return the plainest value that a simple JSON Schema allows."""
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        return {name: sample(of) for name, of in schema.get("properties", {}).items()}
    if kind == "array":
        return [sample(schema.get("items", {}))]
    return {"integer": 1, "number": 1.5, "boolean": True}.get(str(kind), "scripted")
