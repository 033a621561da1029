"""`spiritsafe keys`: the keys that have recorded, joined to projects."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.proxy.commands.recording import PROGRAM, complaint, empty, out, spiritsafe
from tests.proxy.stored.scene import ALICE, BOB, Reading, reading

pytestmark = pytest.mark.anyio

CAROL = "sk-carol-0123456789abcdef"


def listed(db: Path) -> dict[str, str]:
    """Return the project of each fingerprint, the first one first."""
    told = json.loads(out("keys", "list", "--json", "--db", db))
    return {one["fingerprint"]: one["project"] for one in told}


def fingerprint(db: Path, key: str) -> str:
    """Ask the program whose key this is."""
    done = subprocess.run(
        [PROGRAM, "keys", "identify", "--db", db],
        input=f"{key}\n".encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout.decode().strip()


async def three(here: Reading) -> list[str]:
    """Record an exchange for each of three keys; return their completion ids."""
    return [await here.chat(key=key) for key in (ALICE, BOB, CAROL)]


async def test_a_rotated_key_reads_what_the_old_one_recorded(tmp_path: Path) -> None:
    """While the server runs, and the other way round too, until they part again."""
    async with reading(tmp_path) as here:
        old, new, other = await three(here)
        db = here.proxy.db
        alice, bob = (fingerprint(db, key) for key in (ALICE, BOB))
        assert [alice, bob] == list(listed(db))[:2]
        done = spiritsafe("keys", "assign", alice[:8], bob, "--db", db)
        assert (0, b"") == (done.returncode, done.stdout)
        assert alice == listed(db)[bob]
        assert [old, new] == await here.ids() == await here.ids(key=BOB)
        assert [other] == await here.ids(key=CAROL)
        out("keys", "assign", bob, "--project", "team-b", "--db", db)
        assert ([old], [new]) == (await here.ids(), await here.ids(key=BOB))
        later = await here.chat(key=BOB)
        assert [new, later] == await here.ids(key=BOB)
    assert "team-b" in out("keys", "list", "--db", db)
    assert {alice: alice, bob: "team-b"} == {k: listed(db)[k] for k in (alice, bob)}


async def test_a_key_may_be_assigned_before_it_is_seen(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        (old, *_) = await three(here)
        db = here.proxy.db
        unseen = fingerprint(db, "sk-next-0123456789abcdef")
        out("keys", "assign", fingerprint(db, ALICE), unseen, "--db", db)
        assert [old] == await here.ids(key="sk-next-0123456789abcdef")


async def test_a_key_that_is_not_meant_clearly_is_refused(tmp_path: Path) -> None:
    async with reading(tmp_path) as here:
        await three(here)
    db = here.proxy.db
    before = listed(db)
    for command, code in (
        (["assign", "zzzz"], 1),
        (["assign", ""], 1),
        (["assign", "%"], 1),
        (["assign", next(iter(before)), "x' OR 1=1 --"], 1),
        (["assign", next(iter(before)), "--project", ""], 2),
        (["assign", next(iter(before)), "--project", "a b"], 2),
        (["assign", next(iter(before)), "--project", "x" * 65], 2),
        (["assign"], 2),
        (["nothing"], 2),
        (["identify"], 2),
    ):
        complaint("keys", *command, "--db", db, code=code)
    assert before == listed(db)


def test_files_are_not_made_by_asking(tmp_path: Path) -> None:
    db = tmp_path / "none.db"
    for command in (["list"], ["assign", "abcd"], ["identify"]):
        assert "does not exist" in complaint("keys", *command, "--db", db, code=3)
    assert [] == list(tmp_path.iterdir())
    assert "" == out("keys", "list", "--db", empty(db))
