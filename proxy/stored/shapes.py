"""From what was recorded to the objects of the API: completions, messages, lists.

Reads untrusted JSON: what is not as the API has it is left out, or passed on as it is.
"""

from collections.abc import Sequence

from proxy.stored.parameters import Paging
from storage.records import Json

# What a stored completion repeats of its request, and what it says where that says
# nothing (wire.md 3.2).
_REPEATED: dict[str, Json] = {
    "tool_choice": None,
    "seed": None,
    "top_p": 1.0,
    "temperature": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "tools": None,
    "response_format": None,
}
# Members of a completion that are there even where an upstream leaves them out.
_ALWAYS: dict[str, Json] = {
    "object": "chat.completion",
    "usage": None,
    "service_tier": None,
    "system_fingerprint": None,
}


def completion(
    answer: dict[str, Json],
    request: dict[str, Json],
    *,
    name: str,
    created: int,
    request_id: str | None,
    metadata: dict[str, str],
) -> dict[str, Json]:
    """Return a stored completion: the answer, with what is known beside it.

    Shapes: `name` is the id by which it is asked for.
    Units: `created` is seconds since the epoch, where the upstream said none.
    """
    said = {key: value for key, value in answer.items() if value is not None}
    repeated = {
        key: otherwise if request.get(key) is None else request[key]
        for key, otherwise in _REPEATED.items()
    }
    return {
        **_ALWAYS,
        "created": created,
        **said,
        "id": name,
        "request_id": request_id,
        **repeated,
        "input_user": request.get("user"),
        "metadata": metadata,
        "choices": [_choice(choice) for choice in _list(answer.get("choices"))],
    }


def messages(name: str, request: dict[str, Json]) -> list[dict[str, Json]]:
    """Return the messages of a request, as items of a list.

    Shapes: ids are that of the completion and a number from 0; a content of parts is
    their text, with the parts beside it.

    >>> [one] = messages("c-1", {"messages": [{"role": "user", "content": "hi"}]})
    >>> one["id"], one["content"], one["content_parts"]
    ('c-1-0', 'hi', None)
    """
    listed = []
    for number, message in enumerate(_list(request.get("messages"))):
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        parts = content if isinstance(content, list) else None
        listed.append(
            {
                "refusal": None,
                "name": None,
                **message,
                "id": f"{name}-{number}",
                "content": content if parts is None else _text(parts),
                "content_parts": parts,
            }
        )
    return listed


def envelope(data: list[dict[str, Json]], *, more: bool) -> dict[str, Json]:
    """Return a list as the API has it; both clients look at `has_more`."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }


def part_of(
    items: Sequence[dict[str, Json]], paging: Paging
) -> tuple[list[dict[str, Json]], bool] | None:
    """Return the part of a whole list that is asked for, and whether more follows.

    Shapes: `items` in ascending order; None where `after` names none of them.
    """
    ordered = list(items) if paging.order == "asc" else list(items)[::-1]
    if paging.after is not None:
        places = [at for at, it in enumerate(ordered) if it["id"] == paging.after]
        if not places:
            return None
        ordered = ordered[places[0] + 1 :]
    return ordered[: paging.limit], len(ordered) > paging.limit


def input_items(name: str, request: dict[str, Json]) -> list[dict[str, Json]]:
    """Return the input of a response as items of a list, each with an id."""
    said = request.get("input")
    if isinstance(said, str):
        said = [{"role": "user", "content": said}]
    listed = []
    for number, item in enumerate(_list(said)):
        if not isinstance(item, dict):
            continue
        made = {"id": f"{name}-{number}", "type": "message", **item}
        if isinstance(item.get("content"), str):
            kind = "output_text" if item.get("role") == "assistant" else "input_text"
            made["content"] = [{"type": kind, "text": item["content"]}]
        if made["type"] == "message":
            made.setdefault("status", "completed")
        listed.append(made)
    return listed


def _choice(choice: Json) -> Json:
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return choice
    always: dict[str, Json] = {
        "content": None,
        "refusal": None,
        "tool_calls": None,
        "function_call": None,
    }
    return {"logprobs": None, **choice, "message": {**always, **choice["message"]}}


def _text(parts: list[Json]) -> str:
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
