"""Measures judging: its cost for an ordinary answer, and who suffers from an attack.

The second client asks at fixed times, whatever its answers do. The attackers send
hostile schemas and get hostile answers, as fast as they are served; beside it stand the
same answers where no schema is sent. All others are processes of their own.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
from servers import free_port

from proxy.schemas.judge import Bound, Compiler, Judge, Question, judge

ROUNDS = 5
CALLS = 2000
RATE = 50
ATTACKERS = 4
PROPERTIES = {f"property_{n}": {"type": "string"} for n in range(50)}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": [*PROPERTIES]}
GOOD = json.dumps(dict.fromkeys(PROPERTIES, "x" * 20))
BAD = GOOD.replace('"x', '7, "y": "x', 1)


def fan(keyword: str) -> dict[str, object]:
    """Return two kilobytes that unfold to 2^24 schemas."""
    named: dict[str, object] = {
        f"a{n}": {keyword: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(24)
    }
    return {"$ref": "#/$defs/a0", "$defs": named | {"a24": {"type": "string"}}}


TREE = {"type": "object", "additionalProperties": {"$ref": "#"}}
STRINGS = {"items": {"type": "string"}}
HOSTILE = {  # by the model's name: the schema that is sent, the answer to it
    "all-of": (fan("allOf"), '"a"'),
    "any-of": (fan("anyOf"), "1"),
    "deep": (TREE, '{"a":' * 100_000),
    "tree": (TREE, '{"a":' * 800 + "1" + "}" * 800),
    "pattern": ({"pattern": "^(a+)+$"}, f'"{"a" * 50_000}!"'),
    "wrong": (STRINGS, json.dumps(list(range(10_000)))),
    "large": (STRINGS, json.dumps(list(range(250_000)))),
}


def body(model: str, schema: object) -> bytes:
    """Return a request that carries a schema."""
    form = {"type": "json_schema", "json_schema": {"name": model, "schema": schema}}
    messages = [{"role": "user", "content": "hi"}]
    asked = {"model": model, "messages": messages, "response_format": form}
    return json.dumps(asked).encode()


def answer(text: str) -> dict[str, object]:
    """Return a chat completion that says a text."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}


def cost(text: str, *, registered: bool) -> float:
    """Return microseconds of CPU per judgement, the best of some rounds."""
    document = json.dumps(SCHEMA).encode()
    schema = Bound("s@1", sha256(document).digest(), document, "tag")
    question = Question(
        endpoint="chat",
        request=b'{"model":"m"}' if registered else body("m", SCHEMA),
        answer=answer(text),
        complete=True,
        status=200,
        bound=(schema,) if registered else (),
    )
    compiler, best = Compiler(), float("inf")
    judge(question, compiler)
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            judge(question, compiler)
        best = min(best, (time.thread_time_ns() - began) / CALLS / 1000)
    return best


async def stands() -> None:
    """Print what each attack takes of the event loop's own processor time."""
    print(f"| {'attack':8} | {'verdict':25} | loop ms, first | again |")
    for name, (schema, text) in HOSTILE.items():
        question = Question(
            endpoint="chat",
            request=body(name, schema),
            answer=answer(text),
            complete=True,
            status=200,
        )
        judging, took = Judge(), []
        for _ in range(2):
            began = time.thread_time_ns()
            (one,) = await judging.ask(question)
            took.append((time.thread_time_ns() - began) / 1_000_000)
        await judging.close()
        verdict = f"{one.verdict} {one.reason}".strip()
        print(f"| {name:8} | {verdict:25} | {took[0]:14.2f} | {took[1]:5.2f} |")


async def upstream(port: str) -> None:
    """Answer every request as its model's name says."""
    texts = {name: text for name, (_, text) in HOSTILE.items()} | {"m": GOOD}
    told = {name: json.dumps(answer(text)).encode() for name, text in texts.items()}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            asked = json.loads(await reader.readexactly(length))
            said = told[asked["model"]]
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(said), said)
            )
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", int(port))
    await server.serve_forever()


async def attack(url: str, name: str, schema: str) -> None:
    """Send hostile requests, and print a line for each that is served."""
    asked = body(name, HOSTILE[name][0] if schema else None)

    async def attacker(client: httpx.AsyncClient) -> None:
        while True:
            await client.post(url, content=asked)
            print("served", flush=True)

    async with httpx.AsyncClient(timeout=120) as client, asyncio.TaskGroup() as tasks:
        for _ in range(ATTACKERS):
            tasks.create_task(attacker(client))


@contextmanager
def running(*command: str, out: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen]:
    """Run a program until the block ends."""
    process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def stage() -> Iterator[str]:
    """Run an upstream and the proxy as it ships before it; give the URL to ask."""
    ports = free_port(), free_port()
    spiritsafe = str(Path(sys.executable).with_name("spiritsafe"))
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "listen": f"127.0.0.1:{ports[0]}",
            "upstream": f"http://127.0.0.1:{ports[1]}/v1",
            "db": f"{folder}/s.db",
        }
        flags = [part for name, it in options.items() for part in (f"--{name}", it)]
        with (
            running(sys.executable, __file__, "upstream", str(ports[1])),
            running(spiritsafe, "serve", *flags),
        ):
            yield f"http://127.0.0.1:{ports[0]}/v1/chat/completions"


async def second(url: str, seconds: float) -> list[float]:
    """Return the milliseconds of each ordinary request, from when it was due."""
    asked, took = body("m", SCHEMA), []
    async with httpx.AsyncClient(timeout=60) as client, asyncio.TaskGroup() as tasks:
        began = time.perf_counter()

        async def one(due: float) -> None:
            (await client.post(url, content=asked)).raise_for_status()
            took.append((time.perf_counter() - due) * 1000)

        for number in range(int(seconds * RATE)):
            due = began + number / RATE
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            tasks.create_task(one(due))
    return sorted(took)


def beside(name: str, schema: str, seconds: float) -> None:
    """Print the second client's latency beside one attack, "" for none."""
    with stage() as url:
        asyncio.run(started(url))
        if not name:
            return show("alone", asyncio.run(second(url, seconds)), 0)
        command = [sys.executable, __file__, "attack", url, name, schema]
        with running(*command, out=subprocess.PIPE) as attacking:
            took = asyncio.run(second(url, seconds))
        served = len(attacking.communicate()[0].splitlines())
    return show(f"{name}, {schema or 'no'} schema", took, served)


async def started(url: str) -> None:
    """Wait until proxy and upstream answer, and both are warm."""
    async with httpx.AsyncClient() as client:
        for _ in range(300):
            try:
                (await client.post(url, content=body("m", SCHEMA))).raise_for_status()
            except httpx.HTTPError:
                await asyncio.sleep(0.1)
            else:
                break
    await second(url, 1)


def show(name: str, took: list[float], served: int) -> None:
    """Print one line of the table."""
    p99 = took[int(len(took) * 0.99)]
    figures = (statistics.median(took), p99, took[-1])
    cells = " | ".join(f"{it:8.2f}" for it in figures)
    print(f"| {name:23} | {served:6} | {cells} |", flush=True)


def main() -> None:
    """Print both tables, or be one of the processes."""
    if sys.argv[1:2] == ["upstream"]:
        return asyncio.run(upstream(*sys.argv[2:]))
    if sys.argv[1:2] == ["attack"]:
        return asyncio.run(attack(*sys.argv[2:]))
    for name, text in (("valid", GOOD), ("invalid", BAD)):
        for registered in (True, False):
            whose = "registered" if registered else "the request's"
            took = cost(text, registered=registered)
            print(f"{name}, {whose} schema: {took:.1f} µs for {len(text)} bytes")
    asyncio.run(stands())
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    print(f"| {'attack':23} | served |   p50 ms |   p99 ms |  most ms |")
    beside("", "", seconds)
    for name in HOSTILE:
        beside(name, "", seconds)
        beside(name, "hostile", seconds)
    return beside("", "", seconds)


if __name__ == "__main__":
    main()
