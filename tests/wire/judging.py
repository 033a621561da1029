"""What tests of judging ask and answer: a schema, right answers and wrong ones."""

import json
from pathlib import Path
from typing import Any

from proxy.schemas.registrar import Registrar
from storage.assemble import Kept
from storage.recorder import Recorder
from storage.registering import Entry
from storage.schemas import Policy, Rule
from tests.scripted_upstream import DONE, RawRequest, Script, Wire, completion, delta
from tests.storage.make import clock
from tests.wire.scene import CHAT_PATH, Scene

INVOICE = {
    "type": "object",
    "properties": {"price": {"type": "number"}},
    "required": ["price"],
    "additionalProperties": False,
}
ALL = Rule(model="m-*")
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "invoice", "schema": INVOICE},
}
FUNCTION = {"name": "pay", "parameters": INVOICE}
TOOL = {"type": "function", "function": FUNCTION}
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


def followed(kept: Kept) -> list[str]:
    """Return what followed from the verdicts of an exchange."""
    return [one.followed for one in kept.judgements]


def asking(**members: Any) -> bytes:
    """Return a chat request's body."""
    said = [{"role": "user", "content": "how much?"}]
    return json.dumps({"model": "m-1", "messages": said, **members}).encode()


def calling(arguments: str, name: str = "pay", *, also: tuple[str, ...] = ()) -> bytes:
    """Return an answer that calls a tool, and then others in the same way."""
    calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": called, "arguments": arguments},
        }
        for number, called in enumerate((name, *also), 1)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    return json.dumps({"id": "c", "model": "m-1", "choices": choices}).encode()


async def asked(
    it: Scene, body: bytes, *headers: str, path: str = CHAT_PATH
) -> tuple[int, dict[str, str], bytes]:
    """Send a request; return status, headers and body of its answer."""
    async with it.client() as client:
        await client.post(path, body, *headers)
        status, told = await client.head()
        return status, told, await client.body(told)


def saying(*texts: str) -> Script:
    """Answer with these texts, one after the other, and then with the last."""
    left = list(texts)

    async def script(request: RawRequest, wire: Wire) -> None:
        text = left.pop(0) if len(left) > 1 else left[0]
        if request.json.get("stream"):
            await wire.events(delta(text[:6]), delta(text[6:], "stop"), DONE)
        else:
            await wire.answer(completion(text))

    return script
