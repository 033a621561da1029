"""P1 over some hundred bodies: sound, odd and broken, through the whole proxy."""

import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy import splice
from proxy.settings import UpstreamSettings
from storage.reading import open_library
from storage.records import Edit
from storage.verify import Finding, verify
from tests.living import RawClient, living_proxy
from tests.proxy.corpus import bodies
from tests.scripted_upstream import RawRequest, Wire, scripted_upstream
from tests.transparency.undo import undo
from tests.transparency.wire import Answer, ask, chat

pytestmark = pytest.mark.anyio

TAGS = {"env": "test", "team": "éàü 'x' \"y\""}
OWN = b'{"own": "1", "slash\\/": "\\u00e9"}'


class Passed(NamedTuple):
    """One body's way: as sent by the client, received upstream, answered and kept."""

    name: str
    body: bytes
    upstream: bytes
    answer: Answer
    edits: tuple[Edit, ...]
    request: bytes
    kept_answer: bytes


async def echo(request: RawRequest, wire: Wire) -> None:
    await wire.answer(request.body)


async def through(
    db: Path, corpus: list[tuple[str, bytes]], inject: str
) -> list[Passed]:
    """Send every body over one connection, and read what the file has of it."""
    answers = []
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        upstream = await enter(scripted_upstream(echo))
        default = UpstreamSettings.model_validate(
            {"url": upstream.url, "inject": inject}
        )
        proxy = await enter(
            living_proxy(
                db,
                upstream.url,
                upstreams={"default": default},
                tags=TAGS,
                respect_opt_out=False,
            )
        )
        client = await enter(RawClient.connect(proxy.port))
        for _, body in corpus:
            answers.append(await ask(client, chat(body)))
        received = [request.body for request in upstream.requests]
    with open_library(db) as library:
        kept = [
            library.one(answer.values(b"x-spiritsafe-id")[0].decode())
            for answer in answers
        ]
        wrong = [
            finding
            for finding in verify(library, reedit=splice.reapply)
            if isinstance(finding, Finding)
        ]
    assert [] == wrong
    rows = zip(corpus, received, answers, kept, strict=True)
    return [
        Passed(
            name,
            body,
            got,
            answer,
            tuple(edit for edit in it.edits if edit.where == "body"),
            it.request,
            it.answer,
        )
        for (name, body), got, answer, it in rows
    ]


def check(passed: list[Passed]) -> None:
    """Assert P1 of each: minus its edits it is the client's; the answer came whole."""
    for it in passed:
        assert (it.name, it.body) == (it.name, undo(it.upstream, it.body, it.edits))
        assert (it.name, it.body) == (it.name, it.request)
        assert (it.name, 200) == (it.name, it.answer.status)
        assert (it.name, it.upstream) == (it.name, it.answer.body)
        assert (it.name, it.upstream) == (it.name, it.kept_answer)


def edited(passed: list[Passed], member: str) -> int:
    return sum(any(edit.member == member for edit in it.edits) for it in passed)


async def test_p1_without_injection_upstream_gets_the_clients_bytes(
    tmp_path: Path,
) -> None:
    """With `inject = "off"` the upstream gets, and the file keeps, each body byte for byte."""
    passed = await through(tmp_path / "s.db", bodies(), "off")
    check(passed)
    assert all(it.upstream == it.body for it in passed)
    assert 0 == edited(passed, "store") == edited(passed, "metadata")
    assert len(passed) >= 300
    sys.stdout.write(f"{len(passed)} bodies, none edited\n")


async def test_p1_sent_minus_added_members_is_what_the_client_sent(
    tmp_path: Path,
) -> None:
    """What reached the upstream, minus the added `store` and tags, is the client's body byte for byte."""
    passed = await through(tmp_path / "s.db", bodies(), "auto")
    check(passed)
    assert edited(passed, "store") >= 100
    assert edited(passed, "metadata") >= 100
    sys.stdout.write(
        f"{len(passed)} bodies, {edited(passed, 'store')} with `store` added\n"
    )


async def test_p1_sent_minus_replaced_members_is_what_the_client_sent(
    tmp_path: Path,
) -> None:
    """Where tags joined the client's own `metadata`, putting its value back gives the client's body."""
    corpus = [(name, with_metadata(body)) for name, body in bodies()]
    passed = await through(tmp_path / "s.db", corpus, "auto")
    check(passed)
    merged = [it for it in passed if OWN[:-1] in value(it)]
    assert len(merged) >= 100
    for it in merged:
        assert {**TAGS, **json.loads(OWN)} == json.loads(value(it))
    sys.stdout.write(
        f"{len(passed)} bodies, {len(merged)} with tags merged into `metadata`\n"
    )


def value(it: Passed) -> bytes:
    """Return the `metadata` that was set, or nothing."""
    return b"".join(e.value.encode() for e in it.edits if e.member == "metadata")


def with_metadata(body: bytes) -> bytes:
    """Return a body with `metadata` of the client's own, where it has an object."""
    at = body.find(b"{") + 1
    if not at:
        return body
    comma = b"" if body[at:].lstrip().startswith(b"}") else b","
    return body[:at] + b' "metadata"\t: ' + OWN + b" " + comma + body[at:]
