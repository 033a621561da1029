"""What the official Python client sees when things go wrong, and what is recorded."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import openai
import pytest

from tests.clients.joined import Say, joined, spelled
from tests.clients.upstream import ERRORS, openai_like
from tests.scripted_upstream import DONE, RawRequest, Wire, completion, delta

pytestmark = pytest.mark.anyio

HELLO: Final = [{"role": "user", "content": "hello"}]
RAISED: Final = {
    "error-400": openai.BadRequestError,
    "error-401": openai.AuthenticationError,
    "error-403": openai.PermissionDeniedError,
    "error-404": openai.NotFoundError,
    "error-422": openai.UnprocessableEntityError,
    "error-429": openai.RateLimitError,
    "error-500": openai.InternalServerError,
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_errors_of_the_upstream_are_raised_as_its_own(
    tmp_path: Path, face: str, *, streamed: bool
) -> None:
    """Class, code, param, message and request id arrive; the exchange is complete."""

    def say(name: str) -> Say:
        return lambda c: c.chat.completions.create(
            model=name, messages=HELLO, stream=streamed
        )

    async with joined(tmp_path, face) as here:
        for name, (kind, param, code) in ERRORS.items():
            with pytest.raises(RAISED[name]) as caught:
                await here.client.ask(say(name))
            error = caught.value
            assert (kind, param, code) == (error.type, error.param, error.code)
            assert f"req_{name}" == error.request_id
            assert f"scripted {name}" in error.message
            assert "x-spiritsafe-error" not in error.response.headers
            kept = here.kept()[-1]
            assert kept.row.id == error.response.headers["x-spiritsafe-id"]
            assert ("complete", int(name[6:])) == (kept.row.state, kept.row.status)
            recorded = json.loads(kept.row.error or b"")
            assert json.loads(kept.answer)["error"] == recorded
            assert code == recorded["code"]
        assert len(ERRORS) == len(here.kept())


@pytest.mark.parametrize(
    ("model", "statuses"), [("busy-once", [429, 200]), ("down-twice", [500, 500, 200])]
)
async def test_a_retry_of_the_client_is_an_exchange_of_its_own(
    tmp_path: Path, face: str, model: str, statuses: list[int]
) -> None:
    async with joined(tmp_path, face, options={"max_retries": 2}) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.create(model=model, messages=HELLO)
        )
        kept = here.kept()
    assert statuses == [one.row.status for one in kept]
    assert list(range(len(statuses))) == [one.row.retry_count for one in kept]
    assert answer.to_dict() == spelled(kept[-1])
    assert {"complete"} == {one.row.state for one in kept}
    assert 1 == len({one.request for one in kept})


async def test_a_streamed_call_is_retried_before_its_stream(
    tmp_path: Path, face: str
) -> None:
    heard: list[Any] = []
    async with joined(tmp_path, face, options={"max_retries": 2}) as here:
        await here.client.listen(
            lambda c: c.chat.completions.create(
                model="busy-once", messages=HELLO, stream=True
            ),
            heard=heard,
        )
        kept = here.kept()
    assert [(429, 0), (200, 1)] == [(k.row.status, k.row.retry_count) for k in kept]
    assert heard


async def test_what_should_not_be_retried_is_not(tmp_path: Path, face: str) -> None:
    """The upstream's own `x-should-retry: false` arrives and is obeyed."""
    async with joined(tmp_path, face, options={"max_retries": 2}) as here:
        with pytest.raises(openai.InternalServerError):
            await here.client.ask(
                lambda c: c.chat.completions.create(model="hopeless", messages=HELLO)
            )
        kept = here.kept()
    assert [500] == [one.row.status for one in kept]


async def test_a_refusal_of_the_proxy_is_not_retried(tmp_path: Path, face: str) -> None:
    """It has the shape that the client reads, and is not taken for the upstream's."""
    options = {"max_retries": 2}
    async with joined(tmp_path, face, options=options, max_request_bytes=100) as here:
        with pytest.raises(openai.APIStatusError) as caught:
            await here.client.ask(
                lambda c: c.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "x" * 100}]
                )
            )
        kept = here.kept()
    error = caught.value
    assert 413 == error.status_code
    assert "max_request_bytes" in error.message
    assert error.code == error.response.headers["x-spiritsafe-error"]
    assert ([], []) == (kept, here.upstream.requests)


async def test_an_upstream_that_is_not_there_is_an_error_of_the_proxy(
    tmp_path: Path, face: str
) -> None:
    async with joined(
        tmp_path,
        face,
        upstreams={"nowhere": {"url": "http://127.0.0.1:1/v1"}},
    ) as here:
        base = f"{here.proxy.url}/nowhere/v1"
        with pytest.raises(openai.InternalServerError) as caught:
            await here.client.ask(
                lambda c: c.with_options(base_url=base).chat.completions.create(
                    model="m", messages=HELLO
                )
            )
        kept = here.one()
    error = caught.value
    assert 502 == error.status_code
    assert error.code == error.response.headers["x-spiritsafe-error"]
    assert "no" == error.response.headers["x-spiritsafe-upstream-contacted"]
    assert ("incomplete", "upstream_error") == (kept.row.state, kept.row.reason)


@pytest.mark.parametrize("model", ["broken", "reset"])
async def test_a_broken_stream_raises_and_is_incomplete(
    tmp_path: Path, face: str, model: str
) -> None:
    """No client takes half an answer for a whole one."""
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        with pytest.raises(openai.APIError):
            await here.client.listen(
                lambda c: c.chat.completions.create(
                    model=model, messages=HELLO, stream=True
                ),
                heard=heard,
            )
    kept = here.one()
    assert ("incomplete", "upstream_truncated") == (kept.row.state, kept.row.reason)
    words = "".join(chunk.choices[0].delta.content for chunk in heard)
    assert words == spelled(kept)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("vector", ["a5_error", "a5_error_then_done", "a5_error_first"])
async def test_an_error_inside_a_stream_is_raised_and_recorded(
    tmp_path: Path, face: str, vector: str
) -> None:
    """The upstream's own words reach the client, though the status is 200."""
    heard: list[Any] = []
    async with joined(tmp_path, face) as here:
        with pytest.raises(openai.APIError, match="backend failed"):
            await here.client.listen(
                lambda c: c.chat.completions.create(
                    model=vector, messages=HELLO, stream=True
                ),
                heard=heard,
            )
    kept = here.one()
    assert ("incomplete", "upstream_error") == (kept.row.state, kept.row.reason)
    assert "backend failed" == json.loads(kept.row.error or b"")["message"]


async def test_a_client_that_times_out_is_recorded(tmp_path: Path, face: str) -> None:
    async with joined(
        tmp_path, face, options={"timeout": 0.2}, finish_after_client_left_s=0
    ) as here:
        with pytest.raises(openai.APITimeoutError):
            await here.client.ask(
                lambda c: c.chat.completions.create(model="silent", messages=HELLO)
            )
        await here.upstream.gone.wait()  # the upstream is not kept busy for nobody
    kept = here.one()
    assert ("incomplete", "client_aborted") == (kept.row.state, kept.row.reason)
    assert "client_left" in kept.flags


async def test_a_stream_closed_early_is_recorded_as_far_as_it_came(
    tmp_path: Path, face: str
) -> None:
    heard: list[Any] = []
    async with joined(tmp_path, face, finish_after_client_left_s=0) as here:
        await here.client.listen(
            lambda c: c.chat.completions.create(
                model="endless", messages=HELLO, stream=True
            ),
            heard=heard,
            most=1,
        )
        await here.upstream.gone.wait()
    kept = here.one()
    assert ("incomplete", "client_aborted") == (kept.row.state, kept.row.reason)
    assert kept.answer.startswith(delta("one"))


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "stream"])
async def test_an_answer_nobody_waits_for_is_finished_and_kept(
    tmp_path: Path, face: str, *, streamed: bool
) -> None:
    """The client leaves, the upstream is paid anyway: the whole answer is recorded."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(request: RawRequest, wire: Wire) -> None:
        asked.set()
        if streamed:
            await wire.events(delta("one"), end=False)
        await left.wait()
        if not streamed:
            await wire.answer(completion())
            return
        for event in (delta("two", "stop"), DONE):
            await wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await wire.send(b"0\r\n\r\n")

    heard: list[Any] = []
    async with joined(tmp_path, face, script, options={"timeout": 0.3}) as here:
        if streamed:
            await here.client.listen(
                lambda c: c.chat.completions.create(
                    model="m", messages=HELLO, stream=True
                ),
                heard=heard,
                most=1,
            )
        else:
            with pytest.raises(openai.APITimeoutError):
                await here.client.ask(
                    lambda c: c.chat.completions.create(model="m", messages=HELLO)
                )
        await asked.wait()
        left.set()
    kept = here.one()
    assert "complete" == kept.row.state
    words = spelled(kept)["choices"][0]["message"]["content"]
    assert ("onetwo" if streamed else "hello") == words


async def test_a_cancelled_task_ends_its_call(tmp_path: Path) -> None:
    """An application that cancels the awaiting task leaves; that is recorded."""
    async with joined(tmp_path, "async", finish_after_client_left_s=0) as here:
        asked = asyncio.Event()

        async def script(request: RawRequest, wire: Wire) -> None:
            asked.set()
            await openai_like(request, wire)

        here.upstream.script = script
        async with asyncio.TaskGroup() as tasks:
            call = tasks.create_task(
                here.client.ask(
                    lambda c: c.chat.completions.create(model="silent", messages=HELLO)
                )
            )
            await asked.wait()
            call.cancel()
        await here.upstream.gone.wait()
    kept = here.one()
    assert ("incomplete", "client_aborted") == (kept.row.state, kept.row.reason)
