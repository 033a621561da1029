"""The demo's course, with a passage in place of the proxy."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proxy.demo.calls import CALLS
from proxy.demo.run import MISSING, run
from proxy.demo.script import SENTENCE


@contextmanager
def passage(upstream: str) -> Iterator[str]:
    yield upstream.removesuffix("/v1")


def test_every_call_is_told_and_then_the_recording() -> None:
    said: list[str] = []
    run(start_proxy=passage, show=lambda: said.append("list"), say=said.append)
    assert [
        f"Ask one question, with tags of its own: {SENTENCE}",
        f"Read an answer as it is written, usage included: {SENTENCE}",
        'Offer a tool and get a call of it: get_weather({"city":"scripted"})',
        "Ask for an object that keeps a JSON Schema: label='scripted' urgent=True",
        "Ask for two answers at once: 2 choices",
        f"Read an answer of the Responses API as it is written: {SENTENCE}",
        "Run into a rate limit: 429 rate_limit_exceeded",
    ] == [line.strip() for line in said[2:-2]]
    assert len(CALLS) == len(said[2:-2])
    assert "scripted" in said[0]
    assert "scripted" in said[-2]
    assert "list" == said[-1]


def test_a_missing_client_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.demo.run.find_spec", lambda _: None)
    assert importlib.util.find_spec("openai") is not None
    said: list[str] = []
    with pytest.raises(RuntimeError) as caught:
        run(start_proxy=passage, show=lambda: said.append("list"), say=said.append)
    assert (MISSING, []) == (str(caught.value), said)
