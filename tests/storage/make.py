"""Makes exchanges for tests, with everything that a real one carries."""

from hashlib import sha256
from itertools import count

import msgspec
import orjson

from storage.records import Chunk, Edit, Exchange, Usage
from storage.threads import message_key

NOW_AT = 1_790_000_000_000_000

_numbers = count(1)


def new_id() -> str:
    """Return the next id; ascending, as UUIDv7 is."""
    return f"ex_{next(_numbers):032x}"


def clock() -> int:
    """Return one fixed time."""
    return NOW_AT


def chat(*messages: tuple[str, str], model: str = "gpt-4o", **members: object) -> bytes:
    """Return a chat request's body."""
    told = [{"role": role, "content": content} for role, content in messages]
    return orjson.dumps({"model": model, "messages": told, **members})


def completion(text: str, name: str = "chatcmpl-1") -> bytes:
    """Return a chat answer's body."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return orjson.dumps({"id": name, "choices": choices})


def exchange(
    request: bytes = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}',
    text: str = "hello",
    **changes: object,
) -> Exchange:
    """Return a complete exchange that answers the request with this text."""
    name = new_id()
    completion_id = f"chatcmpl-{name[-6:]}"
    answer = completion(text, completion_id)
    key = message_key(orjson.dumps({"role": "assistant", "content": text}))
    made = Exchange(
        id=name,
        project="anonymous",
        upstream="default",
        endpoint="chat",
        target="/v1/chat/completions",
        streamed=False,
        created_at=NOW_AT,
        state="complete",
        status=200,
        first_token_at=NOW_AT + 5,
        ended_at=NOW_AT + 9,
        completion_id=completion_id,
        model_asked="gpt-4o",
        model_served="gpt-4o-2024",
        finish_reason="stop",
        usage=Usage(12, 0, 34, 0),
        tags={"team": "billing"},
        prompt_preview="hi",
        answer_preview=text[:100],
        request_size=len(request),
        answer_size=len(answer),
        request=request,
        request_sha256=sha256(request).digest(),
        sent_sha256=sha256(request).digest(),
        edits=(Edit("body", "store", "true"),),
        flags=("undecoded",),
        answer=answer,
        answer_sha256=sha256(answer).digest(),
        chunks=(Chunk(len(answer) - 1, 100), Chunk(1, 250)),
        request_headers=((b"content-type", b"application/json"),),
        answer_headers=((b"x-request-id", b"r1"), (b"x-request-id", b"r2")),
        answer_keys=() if key is None else (key,),
    )
    return msgspec.structs.replace(made, **changes)
