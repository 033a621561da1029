"""Pairs for tests, as the recorder would give them."""

import json
from typing import Any

from distill.formats.openai_chat import examples
from distill.pairs import Json, Pair
from storage.records import Endpoint, State

ASK = {"model": "m", "messages": [{"role": "user", "content": "late parcel"}]}


def completion(*choices: Json, **more: Any) -> Json:
    """Return a chat completion whose choices are messages, or whole choices."""
    whole = [
        choice
        if "message" in choice
        else {"message": {"role": "assistant", **choice}, "finish_reason": "stop"}
        for choice in choices
    ]
    return {"object": "chat.completion", "choices": whole, **more}


def pair(
    request: Json | bytes = ASK,
    answer: Json | None = None,
    *,
    endpoint: Endpoint = "chat",
    state: State = "complete",
    status: int = 200,
    content_kept: bool = True,
    verdict: str | None = None,
    verdicts: dict[str | bytes, str] | None = None,
    first: Pair | None = None,
) -> Pair:
    """Return one pair; without an answer, with the plainest there is."""
    return Pair(
        endpoint=endpoint,
        state=state,
        status=status,
        content_kept=content_kept,
        request=request if isinstance(request, bytes) else json.dumps(request).encode(),
        answer=completion({"content": "shipping"}) if answer is None else answer,
        verdict=verdict,
        verdicts=({"label@1": verdict} if verdict else {})
        if verdicts is None
        else verdicts,
        first=first,
    )


def only_line(recorded: Pair) -> Json:
    """Return the one line that a pair becomes."""
    (line,) = examples(recorded)
    assert isinstance(line, dict), line
    return line
