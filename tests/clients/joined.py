"""The official Python client, the proxy and an upstream, joined by real sockets.

One test speaks to both of the client's faces: `say` gets an `OpenAI` or an
`AsyncOpenAI`, and what differs, a thread here and an `await` there, is told apart once.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from anyio import to_thread
from openai import AsyncOpenAI, BaseModel, OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from proxy.answer import Received, assemble
from storage.assemble import Kept
from storage.reading import open_library
from tests.clients.upstream import openai_like
from tests.living import Living, living_proxy
from tests.scripted_upstream import Script, ScriptedUpstream, scripted_upstream

Client: TypeAlias = Any  # OpenAI or AsyncOpenAI, which have no common type
Say: TypeAlias = Callable[[Client], Any]

FACES = ("sync", "async")


class Raw(NamedTuple):
    """An answer as `with_streaming_response` tells it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Speaker(Protocol):
    """One face of the client."""

    async def ask(self, say: Say) -> Any:
        """Return what one call returns."""

    async def listen(self, say: Say, *, heard: list[Any], most: int = -1) -> None:
        """Add what a stream gives to `heard`; leave early after `most`."""

    async def followed(self, say: Say, final: str) -> tuple[list[Any], Any]:
        """Return the events of a streaming helper, and what its `final` returns."""

    async def raw(self, say: Say) -> Raw:
        """Return a streamed raw answer."""


class Blocking:
    """The sync client, in a thread beside this loop."""

    def __init__(self, client: OpenAI) -> None:
        self.client = client

    async def ask(self, say: Say) -> Any:
        return await to_thread.run_sync(say, self.client)

    async def listen(self, say: Say, *, heard: list[Any], most: int = -1) -> None:
        def run() -> None:
            with say(self.client) as stream:
                for event in stream:
                    heard.append(event)  # what came before an error counts
                    if len(heard) == most:
                        return

        await to_thread.run_sync(run)

    async def followed(self, say: Say, final: str) -> tuple[list[Any], Any]:
        def run() -> tuple[list[Any], Any]:
            with say(self.client) as stream:
                return list(stream), getattr(stream, final)()

        return await to_thread.run_sync(run)

    async def raw(self, say: Say) -> Raw:
        def run() -> Raw:
            with say(self.client) as answer:
                headers = dict(answer.headers)
                return Raw(answer.status_code, headers, b"".join(answer.iter_bytes()))

        return await to_thread.run_sync(run)


class Awaiting:
    """The async client, in this very loop."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self.client = client

    async def ask(self, say: Say) -> Any:
        return await say(self.client)

    async def listen(self, say: Say, *, heard: list[Any], most: int = -1) -> None:
        async with await say(self.client) as stream:
            async for event in stream:
                heard.append(event)
                if len(heard) == most:
                    return

    async def followed(self, say: Say, final: str) -> tuple[list[Any], Any]:
        async with say(self.client) as stream:
            events = [event async for event in stream]
            return events, await getattr(stream, final)()

    async def raw(self, say: Say) -> Raw:
        async with say(self.client) as answer:
            body = b"".join([piece async for piece in answer.iter_bytes()])
            return Raw(answer.status_code, dict(answer.headers), body)


@contextlib.asynccontextmanager
async def speaker(face: str, base_url: str, **options: Any) -> AsyncIterator[Speaker]:
    """Give one face of the client, closed after the block."""
    options.setdefault("max_retries", 0)
    if face == "sync":
        with OpenAI(base_url=base_url, api_key="sk-test", **options) as blocking:
            yield Blocking(blocking)
    else:
        async with AsyncOpenAI(
            base_url=base_url, api_key="sk-test", **options
        ) as awaiting:
            yield Awaiting(awaiting)


@dataclass(frozen=True)
class Joined:
    """What runs; the record can be read during the block and after it."""

    upstream: ScriptedUpstream
    proxy: Living
    client: Speaker

    def kept(self) -> list[Kept]:
        """Return every exchange of the file, oldest first."""
        with open_library(self.proxy.db) as library:
            return [library.whole(row) for row in library.rows()]

    def one(self) -> Kept:
        """Return the one exchange there is."""
        (kept,) = self.kept()
        return kept


@contextlib.asynccontextmanager
async def joined(
    folder: Path,
    face: str,
    script: Script = openai_like,
    *,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Joined]:
    """Join a client, the proxy and an upstream until the block ends.

    The proxy ends last but one: what a client left behind is sealed after the block.
    """
    async with (
        scripted_upstream(script) as upstream,
        living_proxy(folder / "s.db", upstream.url, **settings) as proxy,
        speaker(face, proxy.base_url, **(options or {})) as client,
    ):
        yield Joined(upstream, proxy, client)


def spelled(kept: Kept) -> dict[str, Any]:
    """Return the object that the record spells."""
    headers = {name.lower(): value for name, value in kept.answer_headers}
    whole = assemble(
        kept.row.endpoint,
        Received(
            status=kept.row.status,
            content_type=headers.get(b"content-type", b""),
            content_encoding=headers.get(b"content-encoding", b""),
            asked_stream=bool(kept.row.streamed),
            chunks=list(pieces(kept)),
            times_us=[chunk.after_us for chunk in kept.chunks],
            ended_clean=kept.row.state == "complete",
        ),
    )
    assert whole is not None
    return whole


def pieces(kept: Kept) -> Iterator[bytes]:
    """Yield the answer in the reads it came in."""
    start = 0
    for chunk in kept.chunks:
        yield kept.answer[start : start + chunk.size_bytes]
        start += chunk.size_bytes


def snapshot(chunks: list[ChatCompletionChunk]) -> dict[str, Any]:
    """Return the completion that the official client itself makes of a stream."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return state.current_completion_snapshot.to_dict()


def told(answer: BaseModel) -> dict[str, Any]:
    """Return an answer as it was on the wire, `parsed` members aside."""
    return answer.to_dict(warnings=False)  # it would warn of each `parsed`


def gist(completion: dict[str, Any]) -> dict[str, Any]:
    """Return what two tellings of one completion must agree on."""
    return {
        "id": completion["id"],
        "model": completion["model"],
        "usage": completion.get("usage"),
        "choices": [
            {
                "index": choice["index"],
                "finish_reason": choice["finish_reason"],
                "content": choice["message"].get("content"),
                "logprobs": (choice.get("logprobs") or {}).get("content"),
                "calls": [
                    (
                        call["id"],
                        call["function"]["name"],
                        call["function"]["arguments"],
                    )
                    for call in choice["message"].get("tool_calls") or ()
                ],
            }
            for choice in sorted(completion["choices"], key=lambda c: c["index"])
        ],
    }
