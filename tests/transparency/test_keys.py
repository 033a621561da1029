"""No key a client or an upstream holds is written down anywhere, whatever happens (P5)."""

import asyncio
import base64
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from proxy.settings import UpstreamSettings
from tests import canary
from tests.living import RawClient
from tests.scripted_upstream import (
    CHAT,
    DONE,
    STREAMED,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)
from tests.transparency.standing import standing
from tests.transparency.wire import PLAIN, ask, chat, request, saying, whole

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]


def credentials() -> list[bytes]:
    """Return a header line for each place a key is sent in, each with its own."""
    basic = base64.b64encode(f"user:{canary.key('basic')}".encode()).decode()
    lines = [
        f"Authorization: Bearer {canary.key('authorization')}",
        f"api-key: {canary.key('api-key')}",
        f"x-api-key: {canary.key('x-api-key')}",
        f"X-Goog-Api-Key: {canary.key('x-goog-api-key')}",
        f"Proxy-Authorization: Bearer {canary.key('proxy-authorization')}",
        f"x-proxy-basic: Basic {basic}",
        f"Cookie: session={canary.key('cookie')}",
        f"Referer: https://u:{canary.key('referer')}@a.example/",
        f"x-unknown-secret: {canary.key('unknown')}",
        f"openai-beta-key: {canary.key('beta')}",
        f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{canary.key('ws')}",
    ]
    return [line.encode() for line in lines]


def query() -> bytes:
    """Return a query string with a key under each name that holds one."""
    names = ("key", "api-key", "api_key", "Key", "api%2Dkey", "access_token", "sig")
    pairs = [f"{name}={canary.key('query')}" for name in names]
    return ("?api-version=1&" + "&".join(pairs)).encode()


TARGETS = (b"/v1/chat/completions", b"/v1/responses", b"/v1/completions", b"/v1/files")
COOKIE = b"set-cookie: upstream=%b"


async def everywhere(client_port: int, body: bytes = CHAT) -> None:
    """Send keys in every place to every kind of path, whatever comes of it."""
    for target in TARGETS:
        async with RawClient.connect(client_port) as client:
            data = request("POST", target + query(), *credentials(), body=body)
            await client.send(data)
            client.writer.write_eof()
            await client.rest()


async def test_s01_no_key_is_kept_of_what_went_well(tmp_path: Path) -> None:
    """Plain and streamed, complete: neither in the file nor in its log, compressed or not."""
    cookie = COOKIE % canary.key("set-cookie").encode()

    async def script(asked: RawRequest, wire: Wire) -> None:
        if b'"stream"' in asked.body:
            await wire.events(delta("x", "stop"), DONE)
        else:
            await wire.send(whole(completion(), cookie))

    async with standing(tmp_path, script) as at:
        await everywhere(at.proxy.port)
        await everywhere(at.proxy.port, STREAMED)
        assert b"CANARY-authorization-" in at.asked.head
        kept = at.kept()
        assert "CANARY" not in kept.row.target
        assert "api-version=1&key=***" in kept.row.target
        assert [] == canary.in_tree(tmp_path)
    assert [] == canary.in_tree(tmp_path)


async def nothing(_: RawRequest, wire: Wire) -> None:
    wire.close()


async def reset(_: RawRequest, wire: Wire) -> None:
    wire.reset()


async def broken_stream(_: RawRequest, wire: Wire) -> None:
    await wire.events(delta("x"), end=False)
    wire.reset()


FAILING = {
    "closes": nothing,
    "resets": reset,
    "no-http": saying(b"\x00\x01\x02 this is no HTTP\r\n\r\n"),
    "bad-length": saying(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"),
    "two-lengths": saying(
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
    ),
    "breaks-off": broken_stream,
    "unauthorized": saying(whole(b'{"error":{"message":"no"}}', status=401)),
    "refuses": saying(whole(b'{"error":{"param":"store"}}', status=400)),
}


@pytest.mark.parametrize("failing", FAILING)
async def test_s03_no_key_is_told_when_the_upstream_fails(
    tmp_path: Path, failing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the log nor in the file, nor in the error that the client gets."""
    async with standing(tmp_path, FAILING[failing]) as at:
        got = await ask_for_failure(at.proxy.port)
        await everywhere(at.proxy.port, STREAMED)
    assert set() == canary.in_bytes(got)
    assert set() == canary.in_bytes(caplog.text.encode())
    assert [] == canary.in_tree(tmp_path)


async def ask_for_failure(port: int) -> bytes:
    async with RawClient.connect(port) as client:
        data = request("POST", TARGETS[0] + query(), *credentials(), body=CHAT)
        await client.send(data)
        client.writer.write_eof()
        return await client.rest()


async def test_s03_no_key_is_told_when_no_connection_comes_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, no such host, and TLS with a stranger's certificate."""
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    async with scripted_upstream(PLAIN) as gone:
        refused = gone.url
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    others = {
        "nobody": UpstreamSettings(url="http://no-such-host.invalid/v1"),
        "stranger": UpstreamSettings(
            url=f"https://localhost:{port}/v1", ca_file=tmp_path / "ca.pem"
        ),
        "refused": UpstreamSettings(url=refused),
    }
    async with server, standing(tmp_path, PLAIN, upstreams=others) as at:
        for name in others:
            path = f"/{name}/v1/chat/completions".encode() + query()
            async with RawClient.connect(at.proxy.port) as client:
                got = await ask(
                    client, request("POST", path, *credentials(), body=CHAT)
                )
            assert (name, 502) == (name, got.status)
            assert set() == canary.in_bytes(got.body)
    assert set() == canary.in_bytes(caplog.text.encode())
    assert [] == canary.in_tree(tmp_path)


async def test_s03_no_key_is_told_when_the_request_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Too large, ambiguous, of another form, looping, unroutable, no HTTP at all."""
    user = f"http://user:{canary.key('userinfo')}@a.example/v1/models".encode()
    big = request("POST", TARGETS[0], *credentials(), body=b"x" * 2000)
    key = canary.key("control").encode()
    requests = [
        big,
        request("POST", user, *credentials(), body=CHAT),
        request("CONNECT", user.removeprefix(b"http://"), *credentials()),
        request("POST", b"/v1/chat/completions/" + query(), *credentials(), body=CHAT),
        request("GET", b"/v1/../x" + query(), *credentials()),
        request("GET", b"/nowhere" + query(), *credentials()),
        request("GET", b"/healthz" + query(), *credentials()),
        request("POST", b"/metrics" + query(), *credentials(), body=CHAT),
        b"GET /v1/x HTTP/1.1\r\nauthorization: Bearer " + key + b"\r\n\r\n",
        b"GET /v1/x HTTP/9.9\r\nauthorization: Bearer " + key + b"\r\n\r\n",
        b"GET /v1/x HTTP/1.1\r\nhost: a\r\nauthorization : Bearer " + key + b"\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: a\r\nx-api-key: " + key
        + b"\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: a\r\nx-api-key: " + key
        + b"\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-api-key: " + key
        + b"\r\ncontent-length: 100\r\n\r\nhalf",
    ]  # fmt: skip
    async with standing(tmp_path, PLAIN, max_request_bytes=1000) as at:
        for data in requests:
            async with RawClient.connect(at.proxy.port) as client:
                await client.send(data)
                client.writer.write_eof()
                got = await client.rest()
            assert (data[:60], set()) == (data[:60], canary.in_bytes(got))
    assert set() == canary.in_bytes(caplog.text.encode())
    assert [] == canary.in_tree(tmp_path)


async def test_s05_a_held_key_is_sent_to_its_upstream_and_told_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of every credential of the client, and to no other upstream."""
    held = canary.key("held")
    monkeypatch.setenv("TEST_HELD_KEY", held)
    async with scripted_upstream(PLAIN) as other:
        its = UpstreamSettings(url=other.url, key_env="TEST_HELD_KEY")
        async with standing(tmp_path, PLAIN, upstreams={"held": its}) as at:
            path = b"/held/v1/chat/completions"
            got = await ask(at.client, request("POST", path, *credentials(), body=CHAT))
            await ask(at.client, chat(CHAT, *credentials()))
            (asked,) = other.requests
            assert f"Bearer {held}" == asked.headers["authorization"]
            names = {"api-key", "x-api-key", "x-goog-api-key"}
            assert not names & asked.headers.keys()
            assert held.encode() not in at.asked.head
            assert held.encode() not in got.body + repr(got.pairs).encode()
    assert [] == canary.in_tree(tmp_path)


async def test_s03_a_websockets_key_is_passed_on_and_told_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    switched = (
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
        b"upgrade: websocket\r\n\r\n"
    )
    lines = [*credentials(), b"connection: upgrade", b"upgrade: websocket"]
    for script in (saying(switched), nothing, saying(whole(b"{}", status=401))):
        async with standing(tmp_path, script) as at:
            target = b"/v1/realtime" + query()
            await at.client.send(request("GET", target, *lines))
            got = await at.client.reader.readuntil(b"\r\n\r\n")
            assert b"openai-insecure-api-key.CANARY-ws-" in at.asked.head
            assert set() == canary.in_bytes(got)
    assert set() == canary.in_bytes(caplog.text.encode())
    assert [] == canary.in_tree(tmp_path)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[int]:
    """Run the installed program at its loudest; what it says lands in the folder."""
    with (folder / "stderr").open("wb") as stderr:
        program = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("spiritsafe")),
            "serve",
            *("--listen", "127.0.0.1:0", "--db", "s.db"),
            cwd=folder,
            env={**os.environ, "SPIRITSAFE_LOG_LEVEL": "debug"},
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
        assert program.stdout is not None
        said = await program.stdout.readline()
        try:
            yield int(said.rsplit(b":", 1)[1])
        finally:
            program.terminate()
            said += await program.stdout.read()
            assert 0 == await program.wait()
            (folder / "stdout").write_bytes(said)


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_s03_serve_at_debug_level_tells_no_key(
    tmp_path: Path, transport: str
) -> None:
    """The installed program: traffic, failures of each kind, an orderly stop."""
    async with scripted_upstream(PLAIN) as upstream:
        (tmp_path / "spiritsafe.toml").write_text(
            f'[upstreams.default]\nurl = "{upstream.url}"\ntransport = "{transport}"\n'
            f'[upstreams.gone]\nurl = "http://127.0.0.1:9/v1"\n'
        )
        async with serving(tmp_path) as port:
            await everywhere(port)
            for upstream.script in FAILING.values():
                await everywhere(port, STREAMED)
            async with RawClient.connect(port) as client:
                path = b"/gone/v1/chat/completions" + query()
                await ask(client, request("POST", path, *credentials(), body=CHAT))
    assert [] == canary.in_tree(tmp_path)


LIBRARIES = """
import logging, sys
from hpack import Encoder
from proxy.commands.serving import log_to_stderr
log_to_stderr("debug")
Encoder().encode([(b"authorization", sys.argv[1].encode())])
for name in ("httpcore.http2", "aiosqlite", "asyncio"):
    logging.getLogger(name).debug("a header of %s", sys.argv[1])
logging.getLogger("proxy.forward").debug("ours is heard")
"""


def test_s03_no_library_logs_what_it_handles() -> None:
    """At debug level HPACK tells each header and SQLite's thread each row: not here."""
    done = subprocess.run(
        [sys.executable, "-c", LIBRARIES, canary.key("library")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "DEBUG proxy.forward: ours is heard\n" == done.stderr


async def test_a_key_on_disk_is_found_however_it_is_kept(tmp_path: Path) -> None:
    """In a plain file, a file's name, a row, and a row that is compressed: seeded leaks."""
    leaks = {name: canary.key(name) for name in ("file", "name", "row", "packed")}
    (tmp_path / "notes.log").write_text(f"sent {leaks['file']}.")
    (tmp_path / leaks["name"]).write_text("")
    async with standing(tmp_path, PLAIN) as at:
        data = CHAT[:-1] + b',"user":"' + leaks["packed"].encode() + b'"}'
        data = data.replace(b'"hi"', b'"' + b"long enough to be packed " * 20 + b'"')
        tags = b"x-spiritsafe-tags: key=" + leaks["row"].encode()
        await ask(at.client, chat(data, tags))
    found = "\n".join(canary.in_tree(tmp_path))
    shutil.rmtree(tmp_path)  # before the whole run is searched
    assert [] == [name for name, leak in leaks.items() if leak not in found]


LEAKING = """
import logging, sys
from tests.canary import key
def test_disk(tmp_path): (tmp_path / "x").write_text(key("disk"))
def test_log(): logging.getLogger("proxy").debug(key("log"))
def test_out(): sys.stdout.write(key("out"))
"""


@pytest.mark.parametrize("flags", [[], ["-n", "2"]], ids=["one", "side by side"])
def test_a_run_that_leaks_a_key_fails_and_says_where(
    tmp_path: Path, flags: list[str]
) -> None:
    """The watch over every run, watched itself: three seeded leaks, three lines."""
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "conftest.py").write_text(
        "from tests.conftest import _folders, pytest_configure\n"
    )
    (folder / "test_leaks.py").write_text(LEAKING)
    run = [sys.executable, "-m", "pytest", "-q", "--basetemp", str(tmp_path / "run")]
    options = ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), *flags]
    done = subprocess.run(
        [*run, *options, "--rootdir", str(ROOT), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(tmp_path)  # before the whole run is searched
    lines = [line for line in done.stdout.splitlines() if line.startswith("CANARY-")]
    assert "3 passed" in done.stdout
    assert 1 == done.returncode
    assert ["disk", "log", "out"] == sorted(line.split("-")[1] for line in lines)
