"""Tells what a list shows of an assembled object, whatever shape a vendor gave it.

Never raises on shapes: what is not as the API defines it is left out.
"""

from collections.abc import Iterable, Iterator

from proxy.stitch.outcome import Answer, Stitched
from proxy.stitch.values import write_json
from storage.records import Endpoint, Json, Usage
from storage.writable import writable

PREVIEW_CHARACTERS = 300
NAME_CHARACTERS = 256  # of ids, models and reasons; a list row is no place for more
MAX_TOKENS = 2**53  # more is no count


def outline(endpoint: Endpoint, stitched: Stitched) -> Answer:
    """Return what is told of a stitched object."""
    whole = stitched.whole
    choices = [item for item in _list(whole, "choices") if isinstance(item, dict)]
    output = [item for item in _list(whole, "output") if isinstance(item, dict)]
    if endpoint == "responses":
        reasons: tuple[str | None, ...] = (_name(whole.get("status")),) if whole else ()
        messages = output
        texts = _output_texts(output)
    elif endpoint == "embeddings":
        reasons, messages = (), []
        texts = iter((_vectors_text(_list(whole, "data")) if whole else "",))
    else:
        reasons = tuple(_name(choice.get("finish_reason")) for choice in choices)
        messages = [
            choice["message"]
            for choice in choices
            if isinstance(choice.get("message"), dict)
        ]
        texts = _choice_texts(choices)
    return Answer(
        completion_id=_name(whole.get("id")) or "",
        model=_name(whole.get("model")) or "",
        finish_reason=reasons[0] if reasons else None,
        finish_reasons=reasons,
        usage=read_usage(whole.get("usage")),
        error=stitched.error,
        complete=stitched.complete,
        preview=join_preview(texts),
        messages=tuple(write_json(message) for message in messages),
        first_token_us=stitched.first_token_us,
        flags=stitched.flags,
    )


def read_usage(usage: Json) -> Usage:
    """Return the token counts of either API; what is no count is None."""
    if not isinstance(usage, dict):
        return Usage()
    prompt = _dict(usage, "prompt_tokens_details", "input_tokens_details")
    completion = _dict(usage, "completion_tokens_details", "output_tokens_details")
    return Usage(
        _count(usage, "prompt_tokens", "input_tokens"),
        _count(prompt, "cached_tokens"),
        _count(usage, "completion_tokens", "output_tokens"),
        _count(completion, "reasoning_tokens"),
    )


def join_preview(texts: Iterable[str]) -> str:
    """Return the first characters of the texts, fit for UTF-8."""
    kept: list[str] = []
    room = PREVIEW_CHARACTERS
    for text in texts:
        if text and room > 0:
            kept.append(text[:room])
            room -= len(kept[-1]) + 1
    return writable("\n".join(kept)[:PREVIEW_CHARACTERS])


def _vectors_text(data: list[Json]) -> str:
    """Return how many vectors there are, and of how many numbers the first is."""
    first = data[0].get("embedding") if data and isinstance(data[0], dict) else None
    if isinstance(first, str):
        return f"{len(data)} vectors of {base64_width(len(first.rstrip('=')))}"
    return f"{len(data)} vectors of {len(first) if isinstance(first, list) else 0}"


def base64_width(digit_count: int) -> int:
    """Return how many float32 numbers so many base64 digits hold."""
    return digit_count * 6 // 32


def call_text(name: str, passed: str) -> str:
    """Return how a preview shows the call of a tool."""
    return f"{name}({passed[:PREVIEW_CHARACTERS]})"


def _choice_texts(choices: list[dict[str, Json]]) -> Iterator[str]:
    if not choices:
        return
    message = choices[0].get("message")
    if not isinstance(message, dict):
        yield _text(choices[0].get("text"))
        return
    content = message.get("content")
    yield _text(content)
    yield from (_text(part.get("text")) for part in _dicts(content))
    yield _text(message.get("refusal"))
    for call in _dicts(message.get("tool_calls")):
        yield _call_text(call.get("function") or call.get("custom"))
    yield _call_text(message.get("function_call"))


def _output_texts(output: list[dict[str, Json]]) -> Iterator[str]:
    for item in output:
        if item.get("type") == "message":
            for part in _dicts(item.get("content")):
                yield _text(part.get("text")) or _text(part.get("refusal"))
        elif item.get("type") != "reasoning":
            yield _call_text(item)


def _call_text(call: Json) -> str:
    if not isinstance(call, dict) or not _text(call.get("name")):
        return ""
    passed = call.get("arguments", call.get("input", ""))
    text = passed if isinstance(passed, str) else write_json(passed).decode()
    return call_text(call["name"], text)


def _count(counts: dict[str, Json], *keys: str) -> int | None:
    for key in keys:
        value = counts.get(key)
        if type(value) is int and 0 <= value <= MAX_TOKENS:
            return value
    return None


def _dict(holder: dict[str, Json], *keys: str) -> dict[str, Json]:
    for key in keys:
        value = holder.get(key)
        if isinstance(value, dict):
            return value
    return {}


def _list(holder: dict[str, Json], key: str) -> list[Json]:
    value = holder.get(key)
    return value if isinstance(value, list) else []


def _dicts(value: Json) -> list[dict[str, Json]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _name(value: Json) -> str | None:
    return writable(value[:NAME_CHARACTERS]) if isinstance(value, str) else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
