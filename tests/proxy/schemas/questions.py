"""Questions as tests ask them: an answer of each style, and who asks for what."""

import json
from hashlib import sha256

from proxy.schemas.judge import Bound, Compiler, Question, judge
from storage.records import Json, Judgement

POINT: Json = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x"],
}

FORMAT: Json = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "point", "schema": POINT},
    }
}

TOOLS: Json = {
    "tools": [{"type": "function", "function": {"name": "move", "parameters": POINT}}]
}

OTHER: Json = {"type": "function", "function": {"name": "other"}}

CONTENT = "/choices/0/message/content"
ARGUMENTS = "/choices/0/message/tool_calls/0/function/arguments"


def chat(
    *messages: dict[str, Json], finish_reason: str = "stop", **request: Json
) -> Question:
    """Return the question of a chat whose choices say these messages."""
    choices = [
        {"index": index, "message": message, "finish_reason": finish_reason}
        for index, message in enumerate(messages)
    ]
    return question("chat", {"choices": choices}, request)


def responses(
    *output: dict[str, Json], status: str = "completed", **request: Json
) -> Question:
    """Return the question of a Response with this output."""
    return question("responses", {"output": list(output), "status": status}, request)


def question(
    endpoint: str, answer: dict[str, Json], request: dict[str, Json]
) -> Question:
    return Question(
        endpoint=endpoint,  # type: ignore[arg-type]  # one of four words
        request=json.dumps({"model": "m"} | request).encode(),
        answer=answer,
        complete=True,
        status=200,
    )


def call(arguments: Json, name: str = "move") -> dict[str, Json]:
    """Return the message that calls one tool."""
    function = {"name": name, "arguments": arguments}
    calls = [{"id": "c", "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def say(content: str | None, **more: Json) -> dict[str, Json]:
    """Return the message that says a text."""
    return {"role": "assistant", "content": content} | more


def bound(
    schema: Json, ref: str = "point@1", why: str = "tag", tool: str = ""
) -> Bound:
    """Return a registered schema that applies."""
    document = json.dumps(schema).encode()
    return Bound(ref, sha256(document).digest(), document, why, tool)


def judged(asked: Question) -> tuple[Judgement, ...]:
    """Return the judgements, in a compiler of their own."""
    return judge(asked, Compiler())


def told(asked: Question) -> list[tuple[str, str, str, str]]:
    """Return slot, schema, reason to apply and verdict of each judgement."""
    return [(one.slot, one.schema, one.why, one.verdict) for one in judged(asked)]
