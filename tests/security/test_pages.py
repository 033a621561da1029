"""What a stranger's web page gets done through its visitor's browser: nothing (S-22, S-23)."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.settings import UpstreamSettings
from tests import canary
from tests.living import living_proxy
from tests.scripted_upstream import CHAT, scripted_upstream
from tests.transparency.standing import Standing, standing
from tests.transparency.wire import PLAIN, ask, request

pytestmark = pytest.mark.anyio

CHATS = b"/v1/chat/completions"
REBOUND = b"host: evil.example:8787"
PAGE = b"origin: https://evil.example"
PATHS = [CHATS, b"/v1/files", b"/v1/models?a=b", b"/healthz", b"/readyz", b"/metrics"]


def every_refusal() -> Iterator[tuple[bytes, int, bytes, bytes]]:
    """Yield path, status, code and line of what is refused."""
    for path in PATHS:
        yield path, 421, b"unknown_host", REBOUND
        yield path, 403, b"foreign_origin", PAGE
        yield path, 403, b"foreign_origin", b"origin: null"


async def test_s22_s23_nothing_is_served_to_a_page_of_a_stranger(
    tmp_path: Path,
) -> None:
    """Neither traffic nor our own pages, by a name that leads here or across origins."""
    async with standing(tmp_path, PLAIN) as at:
        for path, status, code, line in every_refusal():
            got = await ask(at.client, request("POST", path, line, body=CHAT))
            assert (path, line, status) == (path, line, got.status)
            assert [code] == got.values(b"x-spiritsafe-error")
            assert b"served_names" in got.body
            assert [] == got.values(b"access-control-allow-origin")
        assert 0 == at.upstream.connections


async def test_s23_a_plain_text_post_spends_no_key_that_the_proxy_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser asks nobody before it sends this one."""
    monkeypatch.setenv("HELD", canary.key("held"))
    async with standing(tmp_path, PLAIN) as first:
        held = UpstreamSettings(url=first.upstream.url, key_env="HELD")
        folder = tmp_path / "held"
        folder.mkdir()
        async with standing(folder, PLAIN, upstreams={"default": held}) as at:
            plain = b"content-type: text/plain;charset=UTF-8"
            simple = request("POST", CHATS, PAGE, plain, body=CHAT)
            assert 403 == (await ask(at.client, simple)).status
        assert 0 == first.upstream.connections


@pytest.mark.parametrize("line", [REBOUND, PAGE])
async def test_s22_s23_no_page_of_a_stranger_opens_a_websocket(
    tmp_path: Path, line: bytes
) -> None:
    """A browser asks nobody before it opens one, and lets the page read."""
    lines = [line, b"connection: upgrade", b"upgrade: websocket"]
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, request("GET", b"/v1/realtime", *lines))
        assert got.status in {403, 421}
        assert 0 == at.upstream.connections


async def works(at: Standing, *lines: bytes) -> int:
    return (await ask(at.client, request("POST", CHATS, *lines, body=CHAT))).status


async def test_s22_names_in_the_settings_are_ours(tmp_path: Path) -> None:
    names = ("safe.example", "chat.example")
    async with standing(tmp_path, PLAIN, served_names=names) as at:
        ours = (b"host: safe.example", b"origin: https://chat.example")
        assert 200 == await works(at, *ours)
        assert 421 == await works(at, REBOUND)


async def test_a_socket_in_a_folder_is_reached_by_no_browser(tmp_path: Path) -> None:
    """Who stands before it may call it anything."""
    path = tmp_path / "s.sock"
    async with (
        scripted_upstream(PLAIN) as upstream,
        living_proxy(tmp_path / "s.db", upstream.url, listen=f"unix:{path}"),
    ):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request("POST", CHATS, REBOUND, body=CHAT))
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


async def test_s22_the_refusal_is_told_in_the_envelope(tmp_path: Path) -> None:
    """As JSON, whatever the header holds."""
    async with standing(tmp_path, PLAIN) as at:
        odd = b'origin: https://a.example"\xff\t<script>'
        got = await ask(at.client, request("GET", b"/v1/models", odd))
        assert 403 == got.status
        error = json.loads(got.body)["error"]
        assert ("foreign_origin", "invalid_request_error") == (
            error["code"],
            error["type"],
        )
