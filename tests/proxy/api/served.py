"""A living proxy that has recorded something, and clients that read it back."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.canary import key
from tests.living import Living, living_proxy
from tests.scripted_upstream import RawRequest, Wire, completion, scripted_upstream

TOKEN = key("console")


async def echo(request: RawRequest, wire: Wire) -> None:
    """Answer every question with its own words."""
    asked = request.json
    text = asked["messages"][-1]["content"]
    await wire.answer(completion(f"answer to {text}", model=f"{asked['model']}-served"))


class Served(NamedTuple):
    """A proxy, and two callers with keys of their own."""

    proxy: Living
    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    console: httpx.AsyncClient
    nobody: httpx.AsyncClient


@contextlib.asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """Serve until the block ends."""
    keys = (key("alice"), key("bob"), TOKEN)
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(scripted_upstream(echo))
        proxy = await stack.enter_async_context(
            living_proxy(folder / "s.db", upstream.url, console_token=TOKEN, **settings)
        )
        alice, bob, console = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=proxy.url, headers={"authorization": f"Bearer {its}"}
                )
            )
            for its in keys
        ]
        nobody = await stack.enter_async_context(httpx.AsyncClient(base_url=proxy.url))
        yield Served(proxy, alice, bob, console, nobody)


def question(text: str, *, model: str = "m-1", **members: Any) -> dict[str, Any]:
    """Return a request body."""
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, **members}


async def ask(
    client: httpx.AsyncClient, text: str, *, tags: str = "", **members: Any
) -> str:
    """Have one exchange recorded; return its id."""
    answer = await client.post(
        "/v1/chat/completions",
        content=json.dumps(question(text, **members)),
        headers={"x-spiritsafe-tags": tags} if tags else {},
    )
    assert 200 == answer.status_code, answer.text
    return str(answer.headers["x-spiritsafe-id"])


def refusal(answer: httpx.Response) -> tuple[int, str, str | None]:
    """Return status, code and parameter of an error, whole in its envelope."""
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert answer.headers["x-spiritsafe-error"] == error["code"]
    assert answer.headers["x-request-id"].startswith("req_")
    return answer.status_code, error["code"], error["param"]
