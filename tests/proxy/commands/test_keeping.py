"""tag, rm and prune: with a server and without, what goes is gone, and it is told."""

import asyncio
import json
import os
import pty
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from proxy.commands.wishing import fulfil
from proxy.housekeeping import PATH
from proxy.said import said
from storage.engines import owner
from storage.index.behind import catch_up
from storage.index.file import index_path
from storage.reading import open_library
from storage.verify import Finding, verify
from storage.wishes import Wish
from tests.living import RawClient, living_proxy
from tests.proxy.commands.recording import complaint, out, recorded, script, spiritsafe
from tests.scripted_upstream import scripted_upstream


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    db = tmp_path_factory.mktemp("recorded") / "a.db"
    return db, recorded(db)


@pytest.fixture
def file(
    first: tuple[Path, dict[str, str]], tmp_path: Path
) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of the recorded file, with all that belongs to it."""
    for part in first[0].parent.iterdir():
        shutil.copy2(part, tmp_path / part.name)
    db = tmp_path / "a.db"
    yield db, first[1]
    with open_library(db) as library:
        assert [one for one in verify(library) if isinstance(one, Finding)] == []


def rows(db: Path) -> dict[str, dict[str, str]]:
    with open_library(db) as library:
        return {row.id: row.tags for row in library.rows()}


def held(db: Path) -> bytes:
    """Return all bytes of the file and of what belongs to it."""
    parts = [part for part in db.parent.iterdir() if part.is_file()]
    return b"".join(part.read_bytes() for part in parts)


def test_tags_are_changed(file: tuple[Path, dict[str, str]]) -> None:
    db, ids = file
    name = ids["plain"]
    assert out("tag", name, "--add", "rated=good", "--drop", "env", "--db", db) == (
        "1 tagged\n"
    )
    assert rows(db)[name] == {"name": "plain", "rated": "good"}
    out("tag", "--query", "status:200", "--add", "ok=yes", "--db", db)
    tagged = {one for one, tags in rows(db).items() if "ok" in tags}
    assert tagged == set(ids.values()) - {ids["refused"]}


RULE = '[[redact]]\nname = "digits"\npattern = "[0-9]+"\n'


def test_tags_given_later_are_masked(file: tuple[Path, dict[str, str]]) -> None:
    db, ids = file
    (db.parent / "spiritsafe.toml").write_text(RULE)
    tag = ("tag", ids["plain"], "--add", "card=no 4711", "--db", db)
    assert 0 == spiritsafe(*tag, folder=db.parent).returncode
    assert rows(db)[ids["plain"]]["card"] == "no ****"


def test_what_is_removed_leaves_no_byte(file: tuple[Path, dict[str, str]]) -> None:
    db, ids = file
    assert b"stream please" in held(db)
    assert out("rm", ids["streamed"], ids["tools"], "--db", db).startswith("2 removed")
    assert set(rows(db)) == set(ids.values()) - {ids["streamed"], ids["tools"]}
    data = held(db)
    for gone in (b"stream please", b"be brief", b"weather"):
        assert gone not in data
    assert b"once more" in data


def test_long_work_on_the_file_shows_on_a_terminal(
    file: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    db, _ = file
    ours, theirs = pty.openpty()
    monkeypatch.setattr("proxy.commands.printing.SHOWN_AFTER_S", 0)
    monkeypatch.setenv("TERM", "xterm-256color")
    with (
        os.fdopen(theirs, "w") as terminal,
        os.fdopen(ours, "rb", buffering=0) as screen,
    ):
        monkeypatch.setattr("sys.stderr", terminal)
        assert 2 == fulfil(db, Wish(do="remove", seqs=[1, 2])).removed
        terminal.write("end")
        terminal.flush()
        seen = b""
        while b"end" not in seen:
            seen += screen.read(4096)
        assert b"changing the file" in seen
        monkeypatch.undo()


@pytest.mark.parametrize("how", ["rm", "prune"])
def test_the_index_forgets_it_too(file: tuple[Path, dict[str, str]], how: str) -> None:
    db, ids = file
    out("tag", ids["tools"], "--add", "keysecret=valuesecret", "--db", db)
    list(catch_up(db, said))  # no step is left where `tag` had the time for all
    index = index_path(db).read_bytes()
    assert b"weather" in index or b"rain" in index
    assert b"valuesecret" in index
    if how == "rm":
        out("rm", ids["tools"], "--db", db)
    else:
        out("prune", "--rows-days", "1e-9", "--db", db)
    for gone in (b"weather", b"rain", b"keysecret", b"valuesecret"):
        assert gone not in held(db)


def test_a_query_asks_first(file: tuple[Path, dict[str, str]]) -> None:
    db, ids = file
    done = spiritsafe("rm", "--query", "status:429", "--db", db)
    assert done.returncode == 1
    assert b"1 exchanges match: add --yes" in done.stderr
    assert len(rows(db)) == len(ids)
    told = json.loads(out("rm", "--query", "status:429", "--yes", "--json", "--db", db))
    assert (told["removed"], told["clean"]) == (1, True)
    assert ids["refused"] not in rows(db)


def test_prune_takes_what_is_old(file: tuple[Path, dict[str, str]]) -> None:
    db, ids = file
    assert out("prune", "--db", db) == "0 removed, of 0 the content\n"
    assert out("prune", "--bodies-days", "1e-9", "--db", db).startswith(
        f"0 removed, of {len(ids) - 1} the content\n"  # one opted out and has none
    )
    assert set(rows(db)) == set(ids.values())
    assert b"once more" not in held(db)
    out("prune", "--rows-days", "1e-9", "--db", db)
    assert rows(db) == {}


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        (("rm",), 2, "name exchanges by their ids"),
        (("rm", "ex_0", "--query", "status:200"), 2, "name exchanges by their ids"),
        (("rm", "ex_none"), 1, "no exchange has the id"),
        (("rm", "--query", ""), 2, "matches everything"),
        (("rm", "--query", "(", "--yes"), 2, "--query: "),
        (("rm", "--query", "model:none", "--yes"), 1, "no exchange matches"),
        (("tag", "ex_0"), 2, "say what to change"),
        (("tag", "ex_0", "--add", "x"), 2, "write key=value"),
        (("tag", "ex_0", "--add", f"x={'y' * 513}"), 2, "up to 512"),
        (("tag", "ex_0", "--add", "x=a\nb"), 2, "up to 512"),
        (("prune", "--rows-days", "-1"), 2, "--rows-days"),
        (("prune", "--rows-days", "nan"), 2, "--rows-days"),
        (("prune", "--rows-days", "1e300"), 2, "--rows-days: the most is 36500"),
        (("prune", "--bodies-days", "inf"), 2, "--bodies-days: the most is 36500"),
        (("prune", "--most-bytes", "9" * 400), 2, "--most-bytes: the most is"),
    ],
)
def test_what_cannot_be_is_told(
    file: tuple[Path, dict[str, str]],
    command: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    db, ids = file
    assert told in complaint(*command, "--db", db, code=code)
    assert len(rows(db)) == len(ids)


@pytest.mark.parametrize("where", ["127.0.0.1:0", "unix"])
def test_a_server_that_owns_the_file_does_it(tmp_path: Path, where: str) -> None:
    db = tmp_path / "a.db"
    ids = recorded(db)
    listen = f"unix:{tmp_path / 'socket'}" if where == "unix" else where

    async def serve() -> None:
        async with (
            scripted_upstream(script) as upstream,
            living_proxy(
                *(db, upstream.url),
                listen=listen,
                reserve_bytes=0,
                redact=({"name": "digits", "pattern": "[0-9]+"},),
            ),
        ):
            beside = db.with_name("a.db.owner")
            assert beside.stat().st_mode & 0o777 == 0o600
            removed = await asyncio.to_thread(out, "rm", ids["plain"], "--db", db)
            assert removed.startswith("1 removed")
            tag = ("tag", ids["tools"], "--add", "a=b4", "--db", db)
            await asyncio.to_thread(out, *tag)
            assert rows(db)[ids["tools"]]["a"] == "b*"
            assert b"answer to hi" not in held(db)
            again = ("rm", ids["plain"], "--db", db)
            told = await asyncio.to_thread(complaint, *again, code=1)
            assert "no exchange has the id" in told
            pruned = ("prune", "--rows-days", "1e-9", "--db", db)
            await asyncio.to_thread(out, *pruned)
            assert rows(db) == {}

    asyncio.run(serve())


def test_a_file_of_an_older_version_is_told_of(tmp_path: Path) -> None:
    """A server cannot clean it, and says so; a command alone writes it anew first."""
    db = tmp_path / "a.db"
    ids = recorded(db)
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")

    async def serve() -> None:
        async with (
            scripted_upstream(script) as upstream,
            living_proxy(db, upstream.url, reserve_bytes=0),
        ):
            for command in (("rm", ids["plain"]), ("prune", "--bodies-days", "1")):
                asked = (*command, "--db", db)
                done = await asyncio.to_thread(spiritsafe, *asked)
                assert done.returncode == 1
                assert b"run 'spiritsafe prune' once" in done.stderr
            assert ids["plain"] not in rows(db)

    asyncio.run(serve())
    assert "run 'spiritsafe prune' once" in " ".join(out("doctor", "--db", db).split())
    out("prune", "--db", db)
    assert "prune" not in out("doctor", "--db", db)
    assert b"answer to hi" not in held(db)


def test_only_who_reads_the_owner_file_may_ask(tmp_path: Path) -> None:
    db = tmp_path / "a.db"

    async def ask(port: int, body: bytes, *headers: str) -> int:
        async with RawClient.connect(port) as client:
            await client.post(PATH, body, *headers)
            status, _ = await client.head()
        return status

    async def serve() -> None:
        async with (
            scripted_upstream(script) as upstream,
            living_proxy(db, upstream.url) as proxy,
        ):
            asked = owner.told(db)
            assert asked is not None
            wish = b'{"do":"prune","policy":{"rows_days":1}}'
            right = f"authorization: Bearer {asked[1]}"
            wrong = f"authorization: Bearer {asked[1][:-1]}"
            assert await ask(proxy.port, wish, right) == 200
            assert await ask(proxy.port, wish, wrong) == 401
            assert await ask(proxy.port, wish) == 401
            assert await ask(proxy.port, wish, "authorization: Bearer \xff") == 401
            for odd in (b"", b"[]", b'{"do":"all"}', b'{"do":"tag","x":1}', b"\xff"):
                assert await ask(proxy.port, odd, right) == 400
            missing = b'{"do":"tag","seqs":[7],"add":{"a":"b"}}'
            assert await ask(proxy.port, missing, right) == 409

    asyncio.run(serve())


def test_a_backup_holds_what_the_file_holds(
    file: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    db, ids = file
    target = tmp_path / "copy" / "b.db"
    target.parent.mkdir()
    assert "checked" in out("backup", target, "--db", db)
    assert set(rows(target)) == set(ids.values())
    assert "is sound" in out("verify", "--db", target)
    told = complaint("backup", target, "--db", db, code=2)
    assert "there already" in told
    told = complaint("backup", tmp_path / "no" / "b.db", "--db", db, code=3)
    assert "cannot be written" in told
