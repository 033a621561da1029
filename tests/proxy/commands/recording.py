"""A file that a real proxy has recorded, and the installed program to read it with."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from storage.recorder import Recorder
from tests.living import RawClient, living_proxy
from tests.proxy.commands.forked import Wish, forked
from tests.scripted_upstream import (
    DONE,
    SSE_HEAD,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)
from tests.storage.make import clock

PROGRAM = str(Path(sys.executable).with_name("spiritsafe"))

Done: TypeAlias = subprocess.CompletedProcess[bytes]
Run: TypeAlias = Callable[..., Done]

# What a terminal obeys, what rich takes for markup, what turns the direction of text.
HOSTILE = "\x1b[31mred\x1b]0;title\x07\x9b2J [bold]x[/] \u202eflip\u2028\r\nnext :boom:"
STEERING = ("\x1b", "\x07", "\x9b", "\u202e", "\u2028", "\r")

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
}
TOOL_TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
]


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"model": "m-1", "messages": said("hi")},
    "streamed": {"model": "m-1", "stream": True, "messages": said("stream please")},
    "tools": {"model": "m-1", "messages": TOOL_TURNS},
    "hostile": {"model": HOSTILE, "messages": said(HOSTILE)},
    "secret": {"model": "m-1", "store": False, "messages": said("CANARY")},
    "refused": {"model": "m-429", "messages": said("once more")},
    "cut": {"model": "m-1", "stream": True, "messages": said("cut me")},
}


async def script(request: RawRequest, wire: Wire) -> None:
    """Answer as the first message that is the user's asks."""
    asked = request.json
    text = next(m["content"] for m in asked["messages"] if m["role"] == "user")
    if text == "once more":
        error = {"message": "slow down", "type": "requests", "code": "rate_limit"}
        await wire.answer(json.dumps({"error": error}).encode(), status=429)
    elif text == "stream please":
        await wire.events(delta("one "), delta("two", "stop"), DONE)
    elif text == "cut me":
        first = delta("half")
        await wire.send(SSE_HEAD, b"%x\r\n%b\r\n" % (len(first), first))
        wire.close()
    else:
        served = asked["model"] if text == HOSTILE else "m-1-served"
        name = f"chatcmpl-{len(text)}"
        await wire.answer(completion(f"answer to {text}", id=name, model=served))


async def record(db: Path) -> dict[str, str]:
    """Send every request through a living proxy; return their ids by name."""
    ids = {}
    async with (
        scripted_upstream(script) as upstream,
        living_proxy(db, upstream.url, tags={"env": "test"}) as proxy,
    ):
        for name, request in REQUESTS.items():
            async with RawClient.connect(proxy.port) as client:
                await client.post(
                    "/v1/chat/completions",
                    json.dumps(request).encode(),
                    f"x-spiritsafe-tags: name={name}",
                    "Connection: close",
                )
                _, headers = await client.head()
                await client.rest()
            ids[name] = headers["x-spiritsafe-id"]
    return ids


def recorded(db: Path) -> dict[str, str]:
    """Record in a loop of its own."""
    return asyncio.run(record(db))


def empty(db: Path) -> Path:
    """Make a file that has recorded nothing."""

    async def run() -> None:
        async with Recorder.open(db, clock=clock):
            pass

    asyncio.run(run())
    return db


def spiritsafe(
    *command: str | Path, folder: Path | None = None, **variables: str
) -> Done:
    """Run the program without a terminal and without its imports; return what it did."""
    place = str(folder or Path.cwd())
    wish = Wish([*map(str, command)], place, {**os.environ, **variables})
    return forked(wish, timeout_s=60)


def started(*command: str | Path, folder: Path | None = None, **variables: str) -> Done:
    """Start the installed program as people do; return what it did."""
    return subprocess.run(
        [PROGRAM, *map(str, command)],
        capture_output=True,
        check=False,
        cwd=folder,
        env={**os.environ, **variables},
        timeout=60,
    )


def out(
    *command: str | Path, code: int = 0, run: Run = spiritsafe, **variables: str
) -> str:
    """Return what the program prints, which must end with this code."""
    done = run(*command, folder=None, **variables)
    assert code == done.returncode, done.stderr.decode()
    return done.stdout.decode()


def lines(*command: str | Path) -> list[Any]:
    """Return what the program prints for programs, a document for each line."""
    return [json.loads(line) for line in out(*command, "--json").splitlines()]


def complaint(
    *command: str | Path, code: int, run: Run = spiritsafe, **variables: str
) -> str:
    """Return the one line on stderr that a command ends with."""
    done = run(*command, folder=None, **variables)
    text = done.stderr.decode()
    assert code == done.returncode, text
    assert b"" == done.stdout
    assert 1 == text.count("\n"), text
    assert text.startswith("spiritsafe: ")
    return text.strip()
