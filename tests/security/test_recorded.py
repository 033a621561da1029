"""Hostile text in traffic: it never steers SQL, a header, a log, a file name or a number."""

import json
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest

from storage.errors import BadCursor
from storage.queries.pages import page
from storage.queries.tree import Term
from storage.reading import open_library
from tests import canary
from tests.living import RawClient
from tests.scripted_upstream import DONE, RawRequest, Wire, completion, delta
from tests.transparency.standing import standing
from tests.transparency.wire import PLAIN, ask, chat, request, saying, whole

pytestmark = pytest.mark.anyio

INJECTIONS = [
    "' OR 1=1 --",
    '" OR ""="',
    "'; DROP TABLE exchanges; --",
    "x' UNION SELECT 1,2,3 --",
    "%",
    "_",
    "*",
    "\\",
    "?1",
    ":seq",
    "@seq",
    "NULL",
    "\u2019 or 1=1",
]


def named(text: str) -> bytes:
    return json.dumps(
        {"model": text, "messages": [{"role": "user", "content": text}]}
    ).encode()


async def echo(asked: RawRequest, wire: Wire) -> None:
    model = asked.json["model"]
    await wire.answer(completion(model, model=model, id=model))


async def test_s40_what_is_searched_for_is_a_value(tmp_path: Path) -> None:
    """Model, tag, id and cursor: each text finds its own row or none, and all rows stay."""
    async with standing(tmp_path, echo) as at:
        for text in INJECTIONS:
            tag = quote(text, safe=" '\";-%_*\\?:@").encode()
            await ask(at.client, chat(named(text), b"x-spiritsafe-tags: k=" + tag))
            bearer = b"authorization: Bearer " + text.encode()
            await ask(at.client, chat(named("plain"), bearer))
        kept = at.kept()
        with open_library(at.proxy.db) as library:
            for text in INJECTIONS:
                assert 1 == len(page(library, Term("model", "=", text)).rows)
                assert [text] == [row.completion_id for row in library.find(text)]
                for field in ("upstream", "project", "tag.k' OR 1=1"):
                    assert [] == page(library, Term(field, "=", text)).rows
                with pytest.raises(BadCursor):
                    page(library, None, cursor=text)
            assert 2 * len(INJECTIONS) == library.count()
    assert b"plain" in kept.request


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_s42_no_text_of_traffic_names_a_file(tmp_path: Path) -> None:
    """Ids, models, tags and keys that are paths leave the folder as any traffic does."""
    paths = ["../../evil", "/tmp/evil", "evil/../../x", "CON", "a\x00b", "x" * 5000]
    names = {
        f"s.db{end}"
        for end in ("", "-wal", "-shm", ".owner", ".secret", ".reserve", ".spool")
    } | {f"s.db-index{end}" for end in ("", "-wal", "-shm", ".owner")}
    async with standing(tmp_path, echo) as at:
        for path in paths:
            tags = b"x-spiritsafe-tags: ../../tag=../../value"
            await ask(at.client, chat(named(path), tags, b"api-key: ../../key"))
        with open_library(at.proxy.db) as library:
            assert len(paths) == library.count()
        found = names_in(tmp_path)
    assert names == found


BROKEN_LINES = [
    b"/v1/models%0d%0aset-cookie:%20a=b",
    b"/v1/models?x=%0d%0aset-cookie:%20a=b",
    b"/nowhere%0d%0aset-cookie:%20a=b",
    b"/v1/..%0d%0aset-cookie:%20a=b/",
]


async def test_s41_no_text_breaks_out_of_a_header_of_ours(tmp_path: Path) -> None:
    """Neither an escaped line end nor a bare one in what the client says."""
    async with standing(tmp_path, PLAIN) as at:
        for target in BROKEN_LINES:
            got = await ask(at.client, request("GET", target))
            assert [] == got.values(b"set-cookie")
        for value in (b"a=b\rset-cookie: c=d", b"a=b\0", b"a=\x1b[31m", b"a=\x85"):
            async with RawClient.connect(at.proxy.port) as client:
                await client.send(chat(named("m"), b"x-spiritsafe-tags: " + value))
                client.writer.write_eof()
                said = await client.rest()
            assert b"HTTP/1.1 400 " == said[:13]
            assert b"set-cookie:" not in said.partition(b"\r\n\r\n")[0]
        assert b"\x1b" not in said


async def test_s41_an_upstream_adds_no_line_to_a_head(tmp_path: Path) -> None:
    lines = [b"x-a: b\rset-cookie: c=d", b"x-a: b\0c", b"x-a: b\n set-cookie: c=d"]
    for line in lines:
        async with standing(tmp_path, saying(whole(completion(), line))) as at:
            got = await ask(at.client, chat(named("m")))
            assert 502 == got.status
            assert [] == got.values(b"set-cookie")


async def test_s41_no_text_forges_a_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every record of all our loggers is one line, whatever was asked and answered."""
    forged = "\nCRITICAL forged: \x1b[31m\u2028CRITICAL forged:"
    async with standing(tmp_path, echo) as at:
        await ask(at.client, chat(named(forged)))
        at.upstream.script = PLAIN
        for target in BROKEN_LINES:
            await ask(at.client, request("GET", target))
        at.upstream.script = saying(b"HTTP/1.1 200 OK\r\nx: \x1bforged:\r\nbad\r\n\r\n")
        await ask(at.client, chat(named(forged)))
    messages = [record.getMessage() for record in caplog.records]
    assert [] == [text for text in messages if "forged" in text or "\x1b" in text]


async def test_s27_numbers_and_health_tell_no_content(tmp_path: Path) -> None:
    """No key, prompt, answer, model, tag, path or id of an exchange; plain and streamed."""
    secret = canary.key("content")

    async def script(asked: RawRequest, wire: Wire) -> None:
        if b'"stream"' in asked.body:
            await wire.events(delta(secret, "stop"), DONE)
        else:
            await wire.answer(completion(secret, model=secret, id=secret), status=429)

    async with standing(tmp_path, script) as at:
        lines = [
            b"x-spiritsafe-tags: " + f"{secret}={secret}".encode(),
            b"authorization: Bearer " + canary.key("caller").encode(),
        ]
        streamed = named(secret)[:-1] + b',"stream":true}'
        for body in (named(secret), streamed, b"{" + secret.encode()):
            await ask(at.client, chat(body, *lines))
        await ask(at.client, request("GET", b"/v1/files/" + secret.encode(), *lines))
        ids = {at.kept().row.id, at.kept().row.project}
        for path in (b"/metrics", b"/healthz", b"/readyz"):
            got = await ask(at.client, request("GET", path, *lines))
            assert 200 == got.status
            assert set() == canary.in_bytes(got.body)
            assert not any(name.encode() in got.body for name in ids)
    shutil.rmtree(
        tmp_path
    )  # prompts belong there, and the run is searched for canaries
