"""A proxy with something recorded in it, and callers who read that back."""

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.living import Living, RawClient, living_proxy
from tests.scripted_upstream import (
    RawRequest,
    Script,
    ScriptedUpstream,
    Wire,
    scripted_upstream,
)

ALICE, BOB = "sk-alice-0123456789abcdef", "sk-bob-0123456789abcdef"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str | None, str | None]:
        """Status, param and code of a refusal, which has to be in the envelope."""
        error = self.json["error"]
        assert {"message", "type", "param", "code"} == set(error)
        assert "invalid_request_error" == error["type"]
        assert error["message"]
        return self.status, error["param"], error["code"]


@dataclass(frozen=True)
class Reading:
    """What runs."""

    upstream: ScriptedUpstream
    proxy: Living

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *headers: str,
        key: str | None = ALICE,
    ) -> Answer:
        """Send one request on a connection of its own."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "host: a", *headers]
        if not any(line.startswith("connection:") for line in headers):
            lines.append("connection: close")
        if key is not None:
            lines.append(f"authorization: Bearer {key}")
        if body is None:
            raw = b""
        else:
            lines += ["content-type: application/json", f"content-length: {len(raw)}"]
        async with RawClient.connect(self.proxy.port) as client:
            client.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
            status, told = await client.head()
            found = b"" if method == "HEAD" else await client.body(told)
            return Answer(status, told, found)

    async def get(self, path: str, *, key: str | None = ALICE) -> Answer:
        """Read below `/v1/chat/completions`."""
        return await self.ask("GET", f"/v1/chat/completions{path}", key=key)

    async def chat(
        self,
        text: str = "hi",
        *,
        key: str | None = ALICE,
        at: str = "/v1",
        tags: dict[str, str] | None = None,
        **members: Any,
    ) -> str:
        """Record one completion; return its id."""
        told = ",".join(f"{name}={value}" for name, value in (tags or {}).items())
        request = {
            "model": "m-1",
            "messages": [{"role": "user", "content": text}],
            **members,
        }
        answer = await self.ask(
            "POST",
            f"{at}/chat/completions",
            request,
            f"x-spiritsafe-tags: {told}",
            key=key,
        )
        assert 200 == answer.status
        return str(answer.json["id"])

    async def ids(self, query: str = "", *, key: str = ALICE, at: str = "/v1") -> Any:
        """Return the ids of a list."""
        answer = await self.ask("GET", f"{at}/chat/completions{query}", key=key)
        assert 200 == answer.status, answer.body
        return [item["id"] for item in answer.json["data"]]


def without_reading() -> Script:
    """Return an upstream that gives nothing back that it has answered."""
    numbers = itertools.count(1)

    async def script(request: RawRequest, wire: Wire) -> None:
        path = request.target.partition(b"?")[0]
        if not request.head.startswith(b"POST") or path.count(b"/") > 3:
            await wire.answer(b'{"detail":"Not Found"}', status=404)
            return
        await wire.answer(json.dumps(answer_to(request, next(numbers))).encode())

    return script


@contextlib.asynccontextmanager
async def reading(
    folder: Path, *, tokens: Sequence[str] = (), **settings: Any
) -> AsyncIterator[Reading]:
    """Run an upstream that has no such API, and a proxy that has.

    With `tokens` the proxy sends the key in HELD_KEY to its default upstream.
    """
    async with (
        scripted_upstream(without_reading()) as upstream,
        living_proxy(
            folder / "s.db",
            upstream.url,
            **{
                "upstreams": {
                    "default": {
                        "url": upstream.url,
                        "key_env": "HELD_KEY" if tokens else None,
                    },
                    "other": {"url": upstream.url},
                },
                "proxy_tokens": tuple(tokens),
                **settings,
            },
        ) as proxy,
    ):
        yield Reading(upstream, proxy)


def answer_to(request: RawRequest, number: int) -> dict[str, Any]:
    """Return what a model may say; each answer has an id of its own."""
    asked = request.json
    if request.target.endswith(b"/responses"):
        said = {"type": "output_text", "text": "echo", "annotations": []}
        item = {"id": f"msg_{number}", "type": "message", "role": "assistant"}
        return {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 1760000000 + number,
            "model": "m-1-served",
            "status": "completed",
            "output": [{**item, "status": "completed", "content": [said]}],
        }
    text = str((asked.get("messages") or [asked])[-1].get("content"))
    return {
        "id": asked.get("user") or f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1760000000 + number,
        "model": asked["model"] + "-served",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": f"echo {text}"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
