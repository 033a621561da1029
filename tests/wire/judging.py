"""What tests of judging ask and answer: a schema, right answers and wrong ones."""

import json
from pathlib import Path
from typing import Any

from proxy.schemas.registrar import Registrar
from storage.recorder import Recorder
from storage.registering import Entry
from storage.schemas import Policy, Rule
from tests.storage.make import clock

INVOICE = {
    "type": "object",
    "properties": {"price": {"type": "number"}},
    "required": ["price"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "invoice", "schema": INVOICE},
}
TOOL = {"type": "function", "function": {"name": "pay", "parameters": INVOICE}}
RIGHT, WRONG = '{"price": 7}', '{"price": "SEVEN"}'


async def registered(
    db: Path, *rules: Rule, policy: Policy = "observe", attempts: int = 2
) -> None:
    """Have a file in which `invoice` is registered, and bound to what rules choose."""
    async with Recorder.open(db, clock=clock) as recorder:
        registrar = await Registrar.open(recorder, clock=clock)
        document = json.dumps(INVOICE).encode()
        await registrar.enter(Entry(do="add", schema="invoice", document=document))
        for rule in rules:
            await registrar.enter(
                Entry(
                    do="bind",
                    schema="invoice",
                    rule=rule,
                    policy=policy,
                    attempts=attempts,
                )
            )


def asking(**members: Any) -> bytes:
    """Return a chat request's body."""
    said = [{"role": "user", "content": "how much?"}]
    return json.dumps({"model": "m-1", "messages": said, **members}).encode()


def calling(arguments: str, name: str = "pay") -> bytes:
    """Return an answer that calls a tool."""
    called = {"name": name, "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": called}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    return json.dumps({"id": "c", "model": "m-1", "choices": choices}).encode()
