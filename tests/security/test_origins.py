"""Who is asked is the operator's word alone, and nothing of one caller reaches the next."""

import json
from pathlib import Path

import pytest

from proxy.settings import UpstreamSettings
from tests import canary
from tests.scripted_upstream import (
    CHAT,
    RawRequest,
    Wire,
    completion,
    scripted_upstream,
)
from tests.transparency.standing import standing
from tests.transparency.wire import PLAIN, ask, chat, request, saying, whole

pytestmark = pytest.mark.anyio


def steering(url: str) -> list[bytes]:
    """Return the headers that other proxies take an upstream from."""
    names = (
        "x-portkey-custom-host", "x-portkey-provider", "helicone-target-url",
        "helicone-openai-api-base", "x-litellm-api-base", "api-base", "base-url",
        "x-base-url", "x-upstream", "x-forwarded-host", "x-forwarded-server",
        "x-original-url", "x-rewrite-url", "x-host", "forwarded", "x-spiritsafe-upstream",
        "destination", "openai-base-url",
    )  # fmt: skip
    return [f"{name}: {url}".encode() for name in names]


def steered(url: str) -> bytes:
    """Return a body with the members that other proxies take an upstream from."""
    names = ("api_base", "base_url", "custom_host", "target_url", "endpoint", "proxy")
    members = dict.fromkeys(names, url)
    nested = {"user_config": members, "extra_body": members, "metadata": members}
    litellm = {"litellm_params": members, "model_list": [{"litellm_params": members}]}
    return json.dumps(json.loads(CHAT) | members | nested | litellm).encode()


async def test_s10_no_request_chooses_its_upstream(tmp_path: Path) -> None:
    """By header, member, query or path: all go where they always go, untouched."""
    async with scripted_upstream(PLAIN) as other, standing(tmp_path, PLAIN) as at:
        body, query = steered(other.url), f"?api_base={other.url}&base_url={other.url}"
        for path in ("/v1/chat/completions", "/v1/files"):
            target = (path + query).encode()
            lines = [*steering(other.url), b"content-type: application/json"]
            got = await ask(at.client, request("POST", target, *lines, body=body))
            assert 200 == got.status
            assert target == at.asked.target
        sent = at.asked.json
        assert other.url == sent["api_base"] == sent["user_config"]["base_url"]
        host = other.url.removeprefix("http://").removesuffix("/v1")
        for form in (
            f"/{host}/v1/x",
            f"//{host}/v1/x",
            f"{other.url}/x",
            f"@{host}/v1",
        ):
            got = await ask(at.client, request("GET", form.encode()))
            assert got.status in {400, 404}
        assert 0 == other.connections


async def test_s05_a_held_key_follows_no_redirect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the guard is seen to work: the upstream got the key, the other nothing."""
    monkeypatch.setenv("HELD", canary.key("held"))
    async with scripted_upstream(PLAIN) as other:
        where = b"location: " + other.url.encode()
        async with scripted_upstream(saying(whole(b"", where, status=307))) as first:
            held = UpstreamSettings(url=first.url, key_env="HELD")
            async with standing(tmp_path, PLAIN, upstreams={"default": held}) as at:
                got = await ask(at.client, chat(CHAT))
            assert 307 == got.status
            assert b"CANARY-held-" in first.requests[0].head
        assert 0 == other.connections


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_s33_no_cookie_of_one_caller_reaches_the_next(
    tmp_path: Path, transport: str
) -> None:
    """On one and the same upstream connection."""

    async def script(asked: RawRequest, wire: Wire) -> None:
        await wire.send(whole(completion(), b"set-cookie: session=first"))

    async with scripted_upstream(script) as upstream:
        its = UpstreamSettings(url=upstream.url, transport=transport)
        async with standing(tmp_path, PLAIN, upstreams={"default": its}) as at:
            for caller in (b"one", b"two"):
                key = b"authorization: Bearer " + caller
                got = await ask(at.client, chat(CHAT, key))
                assert [b"session=first"] == got.values(b"set-cookie")
        assert [False] * 2 == [b"cookie:" in r.head.lower() for r in upstream.requests]
        assert 1 == upstream.connections
