"""Request targets: as the client wrote them, or refused."""

from pathlib import Path

import pytest

from tests.living import RawClient, living_proxy
from tests.scripted_upstream import CHAT, scripted_upstream
from tests.transparency.standing import standing
from tests.transparency.wire import PLAIN, answer, ask, request, sent

pytestmark = pytest.mark.anyio

KEPT = [
    b"/v1/models/openai%2Fgpt", b"/v1/models/openai%2fgpt", b"/v1/a//b", b"/v1/a;x=1",
    b"/v1/%00", b"/v1/%", b"/v1/%zz", b"/v1/a+b", b"/v1/a?", b"/v1/a", b"/v1/a?b=%20+&c",
    b"/v1/a??", b"/v1/a?b?c=/../x", b"/v1/a?b=//evil", b"/v1/", b"/v1", b"/v1/a/",
    b"/v1/...", b"/v1/a.b/.c", b"/v1/~*'()!$&,:@=-_", b"/v1/%C3%A9", b"/v1/a?%zz&&=&",
]  # fmt: skip

REFUSED = [
    b"/v1/../admin", b"/v1/%2e%2e/admin", b"/v1//../x", b"/v1/./x", b"/v1/x/..",
    b"/v1/.%2e/x", b"/v1/%2E./x", b"/v1/..;a/x", b"/v1/x%2f..%2fy", b"/v1/..\\x",
    b"/v1/chat/completions/", b"/v1/chat%2Fcompletions", b"/v1//chat/completions",
    b"/v1/Chat/completions", b"/v1/chat/completion%73", b"/v1/chat/completions;x",
    b"/v1/a#b", b"/v1/\xc3\xa9", b"*", b"@evil.com/", b"http:evil", b"//evil.com/v1/x",
    b"http://127.0.0.1/v1/models", b"https://evil.com/v1/models",
    b"http://user:secret@evil.com/v1/models", b"evil.com:443", b"v1/models",
]  # fmt: skip


@pytest.mark.parametrize("base", ["/v1", "/openai/v1", ""])
async def test_h50_h52_a_target_is_forwarded_byte_for_byte(
    tmp_path: Path, base: str
) -> None:
    """What follows /v1 goes behind the upstream's base path, whatever that is."""
    async with (
        scripted_upstream(PLAIN) as upstream,
        living_proxy(
            tmp_path / "s.db", f"http://127.0.0.1:{upstream.port}{base}"
        ) as proxy,
        RawClient.connect(proxy.port) as client,
    ):
        for target in KEPT:
            expected = base.encode() + target.removeprefix(b"/v1")
            if expected[:1] != b"/":
                expected = b"/" + expected
            for method in ("GET", "POST"):
                got = await ask(client, request(method, target, body=CHAT))
                assert (target, 200) == (target, got.status)
                assert expected == upstream.requests[-1].target


async def test_h50_a_captured_target_keeps_its_query(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        for query in (b"", b"?", b"?a=%2F&&b", b"?api-version=2024-10-01-preview"):
            target = b"/v1/chat/completions" + query
            got = await ask(at.client, request("POST", target, body=CHAT))
            assert [b"yes"] == got.values(b"x-spiritsafe-recorded")
            assert target == at.asked.target
            assert target == at.kept().row.target.encode()


async def test_h51_h53_h54_what_is_no_plain_path_is_refused(tmp_path: Path) -> None:
    """With 400, or 404 where nothing is served, and the upstream hears nothing."""
    async with standing(tmp_path, PLAIN) as at:
        for target in REFUSED:
            for method in ("GET", "POST"):
                async with RawClient.connect(at.proxy.port) as client:
                    got = await ask(client, request(method, target, body=b""))
                assert (target, True) == (target, got.status in {400, 404})
        assert 0 == at.upstream.connections


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("CONNECT", b"evil.com:443"),
        ("CONNECT", b"/v1/chat/completions"),
        ("TRACE", b"/v1/models"),
    ],
)
async def test_h53_connect_and_trace_are_never_forwarded(
    tmp_path: Path, method: str, target: bytes
) -> None:
    async with standing(tmp_path, PLAIN) as at:
        got = await ask(at.client, request(method, target))
        assert got.status in {400, 405}
        assert 0 == at.upstream.connections


async def test_h53_options_of_everything_is_refused(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        assert 400 == (await ask(at.client, request("OPTIONS", b"*"))).status
        assert 0 == at.upstream.connections


async def test_h53_max_forwards_ends_here_or_goes_on_as_one_less(
    tmp_path: Path,
) -> None:
    """Of OPTIONS only (RFC 9110 §7.6.2); in any other request it means nothing."""
    async with standing(tmp_path, PLAIN) as at:
        for value in (b"0", b"00"):
            line = b"max-forwards: " + value
            got = await ask(at.client, request("OPTIONS", b"/v1/files", line))
            assert (200, b"") == (got.status, got.body)
            assert b"OPTIONS" in got.values(b"allow")[0]
        assert [] == at.upstream.requests
        for method, value, expected in (
            ("OPTIONS", b"1", b"0"),
            ("OPTIONS", b"70", b"69"),
            ("OPTIONS", b"many", b"many"),
            ("GET", b"0", b"0"),
        ):
            line = b"max-forwards: " + value
            await at.client.send(request(method, b"/v1/files", line))
            assert 200 == (await answer(at.client)).status
            assert [expected] == sent(at.asked, b"max-forwards")


async def test_h53_options_of_a_path_is_the_upstreams_business(tmp_path: Path) -> None:
    async with standing(tmp_path, PLAIN) as at:
        lines = [
            b"origin: http://localhost:3000",
            b"access-control-request-method: POST",
        ]
        await at.client.send(request("OPTIONS", b"/v1/chat/completions", *lines))
        assert 200 == (await answer(at.client)).status
        assert at.asked.head.startswith(b"OPTIONS /v1/chat/completions HTTP/1.1\r\n")
