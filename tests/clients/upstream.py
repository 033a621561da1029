"""An OpenAI-shaped upstream: every client, in whatever language, meets the same one.

What it does is asked for by the name of the model, and whether it is the first time by
the client's own `x-stainless-retry-count`, so it keeps nothing between two requests.
"""

import json
from typing import Any, Final

from proxy.demo.script import reply
from tests.proxy.vectors import VECTORS, slices
from tests.scripted_upstream import RawRequest, Wire, completion, delta

NOISE: Final = bytes(range(256)) * 1024
"""A quarter of a megabyte of every byte there is, line ends and NUL among them."""

TRANSCRIPT: Final = "a scripted transcript, spoken\n"
MODEL: Final = {"id": "org/name", "object": "model", "created": 1, "owned_by": "org"}
FILE: Final = {
    "id": "file-1",
    "object": "file",
    "created_at": 1,
    "filename": "train.jsonl",
    "purpose": "fine-tune",
    "status": "processed",
}

TWO_CALLS: Final = completion(
    choices=[
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {
                        "id": f"call_{city}",
                        "type": "function",
                        "function": {
                            "name": "get_weather",
                            "arguments": json.dumps({"city": city}),
                        },
                    }
                    for city in ("Oslo", "Århus")
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
)

LEGACY: Final = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 5,
    "model": "m-l",
    "choices": [
        {"index": 0, "text": "Once", "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
}

ERRORS: Final = {
    "error-400": ("invalid_request_error", "messages", "context_length_exceeded"),
    "error-401": ("invalid_request_error", None, "invalid_api_key"),
    "error-403": ("request_forbidden", None, "unsupported_country_region_territory"),
    "error-404": ("invalid_request_error", None, "model_not_found"),
    "error-422": ("invalid_request_error", "n", None),
    "error-429": ("requests", None, "rate_limit_exceeded"),
    "error-500": ("server_error", None, None),
}

SOON: Final = "retry-after-ms: 1"
"""Lets a client retry at once, where it would wait half a second."""


def response(*output: dict[str, Any]) -> dict[str, Any]:
    """Return an object of the Responses API with this output."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m-r",
        "status": "completed",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 3,
            "input_tokens_details": {"cached_tokens": 2},
            "output_tokens": 1,
            "output_tokens_details": {"reasoning_tokens": 1},
            "total_tokens": 4,
        },
    }


TICKET: Final = response(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": '{"label":"late","urgent":true}',
                "annotations": [],
            }
        ],
    }
)
CALLED: Final = response(
    {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": '{"city":"Oslo"}',
    }
)

WHOLE: Final = {
    "two-calls": TWO_CALLS,
    "ticket": json.dumps(TICKET).encode(),
    "called": json.dumps(CALLED).encode(),
    "legacy": json.dumps(LEGACY).encode(),
}


async def say(
    wire: Wire, body: bytes, *headers: str, status: int = 200, request_id: str = "req_1"
) -> None:
    """Send a JSON answer with more headers than `Wire.answer` has."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"x-request-id: {request_id}",
        *headers,
    ]
    await wire.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


async def refuse(wire: Wire, name: str, *headers: str) -> None:
    """Send one of the `ERRORS`."""
    kind, param, code = ERRORS[name]
    inner = {"message": f"scripted {name}", "type": kind, "param": param, "code": code}
    await say(
        wire,
        json.dumps({"error": inner}).encode(),
        *headers,
        status=int(name.removeprefix("error-")),
        request_id=f"req_{name}",
    )


async def noise(wire: Wire, kind: str) -> None:
    """Send the noise in uneven chunks."""
    await wire.send(
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n"
        "transfer-encoding: chunked\r\n\r\n".encode()
    )
    for start in range(0, len(NOISE), 9973):
        piece = NOISE[start : start + 9973]
        await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await wire.send(b"0\r\n\r\n")


async def openai_like(request: RawRequest, wire: Wire) -> None:
    """Answer one request."""
    path = request.target.partition(b"?")[0].decode().removeprefix("/v1")
    match path:
        case "/files":
            await wire.answer(json.dumps(FILE | {"bytes": len(request.body)}).encode())
        case "/files/file-1/content":
            await noise(wire, "application/octet-stream")
        case "/audio/speech":
            await noise(wire, "audio/mpeg")
        case "/audio/transcriptions":
            await wire.answer(TRANSCRIPT.encode(), kind="text/plain; charset=utf-8")
        case "/models":
            models = {"object": "list", "data": [MODEL], "has_more": False}
            await wire.answer(json.dumps(models).encode())
        case "/models/org%2Fname":
            await wire.answer(json.dumps(MODEL).encode())
        case _:
            await _ask(path, request, wire)


async def _ask(path: str, request: RawRequest, wire: Wire) -> None:
    """Answer as the model's name says, else as the demo's script does."""
    model = request.json["model"]
    retries = int(request.headers.get("x-stainless-retry-count", "0"))
    match model:
        case _ if model in VECTORS:
            await wire.events(*slices(VECTORS[model], 97))
        case _ if model in ERRORS:
            await refuse(wire, model, SOON)
        case "busy-once" if not retries:
            await refuse(wire, "error-429", SOON)
        case "down-twice" if retries < 2:
            await refuse(wire, "error-500", SOON)
        case "hopeless":
            await refuse(wire, "error-500", "x-should-retry: false")
        case "odd-headers":
            await say(wire, completion(), "x-ratelimit-reset-tokens: 6m0s", "x-new: 1")
        case "broken" | "reset" | "endless" | "silent":
            await _fall_short(model, wire)
        case _ if model in WHOLE:
            await wire.answer(WHOLE[model])
        case _:
            await _recite(path, request, wire)


async def _fall_short(model: str, wire: Wire) -> None:
    """Begin an answer at most; where nobody ends it here, the client leaves first."""
    if model != "silent":
        await wire.events(delta("one"), delta("two"), end=False)
    if model == "broken":
        wire.close()
    elif model == "reset":
        wire.reset()


async def _recite(path: str, request: RawRequest, wire: Wire) -> None:
    scripted = reply(path, request.body)
    if scripted.content_type.startswith("text/event-stream"):
        await wire.events(*scripted.parts)
    else:
        await wire.answer(b"".join(scripted.parts), status=scripted.status)
