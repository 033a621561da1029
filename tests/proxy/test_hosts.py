"""Claims about which upstream hosts take what we add."""

import pytest

from proxy import hosts
from proxy.hosts import Accepts


@pytest.mark.parametrize(
    "host",
    ["api.openai.com", "API.OpenAI.com.", "eu.api.openai.com", "x.openai.azure.com"],
)
def test_openai_and_azure_take_both(host: str) -> None:
    assert Accepts(store=True, metadata=True) == hosts.accepts(host)
    assert hosts.known(host)


@pytest.mark.parametrize(
    "host",
    ["api.mistral.ai", "generativelanguage.googleapis.com", "api.groq.com", "api.cerebras.ai", "inference.do-ai.run", "chatgpt.com"],
)  # fmt: skip
def test_hosts_that_were_seen_to_refuse_take_neither(host: str) -> None:
    assert Accepts(store=False, metadata=False) == hosts.accepts(host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "api.example.com", "openai.azure.com", "evilapi.openai.com", "api.openai.com.evil.com", ""],
)  # fmt: skip
def test_all_other_hosts_are_tried(host: str) -> None:
    assert Accepts() == hosts.accepts(host)
    assert not hosts.known(host)


def test_what_was_learned_counts_over_the_table() -> None:
    learned = frozenset({"metadata"})
    assert Accepts(store=None, metadata=False) == hosts.accepts("llm.local", learned)
    assert Accepts(store=True, metadata=False) == hosts.accepts(
        "api.openai.com", learned
    )
    both = frozenset({"store", "metadata"})
    assert Accepts(store=False, metadata=False) == hosts.accepts("llm.local", both)
