"""A plain answer, and ways to say how it was received."""

import json
from collections.abc import Sequence

from proxy.answer import Answer, Received, read_answer
from storage.records import Endpoint, Json, Usage

JSON_TYPE = b"application/json"
SSE_TYPE = b"text/event-stream; charset=utf-8"


def received(  # the ordinary case, to be made odd by name
    *chunks: bytes,
    status: int = 200,
    content_type: bytes = JSON_TYPE,
    content_encoding: bytes = b"",
    asked_stream: bool = False,
    ended_clean: bool = True,
) -> Received:
    return Received(
        status=status,
        content_type=content_type,
        content_encoding=content_encoding,
        asked_stream=asked_stream,
        chunks=chunks,
        times_us=range(len(chunks)),
        ended_clean=ended_clean,
    )


def streamed(chunks: Sequence[bytes], *, ended_clean: bool = True) -> Received:
    return received(
        *chunks, content_type=SSE_TYPE, asked_stream=True, ended_clean=ended_clean
    )


MESSAGE: dict[str, Json] = {"role": "assistant", "content": "Hi", "refusal": None}
PLAIN: dict[str, Json] = {
    "id": "chatcmpl-P",
    "object": "chat.completion",
    "created": 1,
    "model": "m-1",
    "choices": [
        {"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    },
}
EXPECTED = Answer(
    completion_id="chatcmpl-P",
    model="m-1",
    finish_reason="stop",
    finish_reasons=("stop",),
    usage=Usage(9, 2, 4, 3),
    complete=True,
    preview="Hi",
    messages=(b'{"role":"assistant","content":"Hi","refusal":null}',),
)


def dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def with_message(**members: Json) -> bytes:
    choice = {"index": 0, "message": MESSAGE | members, "finish_reason": "stop"}
    return dump(PLAIN | {"choices": [choice]})


def both_ways(body: bytes, endpoint: Endpoint = "chat") -> Answer:
    """Return what both ways of reading a body agree on."""
    answer = read_answer(endpoint, received(body))
    general = read_answer(endpoint, received(body, asked_stream=True))
    assert general.flags == ("not_streamed",)
    assert json.loads(dump([json.loads(m) for m in general.messages])) == [
        json.loads(m) for m in answer.messages
    ]
    for field in Answer.__struct_fields__:
        if field not in {"flags", "messages"}:
            assert getattr(general, field) == getattr(answer, field), field
    return answer
