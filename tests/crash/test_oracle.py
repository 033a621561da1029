"""The judge itself: a sound history passes, and each seeded bug is found by name."""

from dataclasses import replace
from hashlib import sha256

import pytest

from tests.crash.oracle import (
    RECOVERY_S,
    SPREAD,
    Attempt,
    Footing,
    History,
    Hit,
    Kept,
    Key,
    Sums,
    judge,
)

ANSWERS = (b"one", b"two", b"three", b"")
SETTLED = Sums(accepted=5, complete=2, incomplete=2, unrecorded=1, in_flight=0)


def attempt(number: int, **more: object) -> Attempt:
    made = Attempt(
        nonce=f"n{number}",
        number=1,
        request=b"request %d" % number,
        id=f"ex_{number}",
        status=200,
        seen=ANSWERS[number],
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def kept(number: int, state: str = "complete", reason: str | None = None) -> Kept:
    return Kept(
        id=f"ex_{number}",
        seq=number + 1,
        key=Key(f"n{number}", 1),
        state=state,
        reason=reason,
        request_sha256=sha256(b"request %d" % number).digest(),
        answer_sha256=sha256(ANSWERS[number]).digest(),
        answer=ANSWERS[number],
        project="p1",
    )


REST = Footing(files=20, threads=3, tasks=5, slots=0, rss_bytes=60 * 1024 * 1024)


def sound() -> History:
    """Two whole answers, one cut by the upstream, one that the proxy refused."""
    return History(
        attempts=[
            attempt(0, ended=True, clean=True),
            attempt(1, ended=True),
            attempt(2),
            attempt(3, ended=True, clean=True, refused=True, status=502),
        ],
        hits=[
            Hit(key=Key("n0", 1), said=b"one", ending="completed"),
            Hit(key=Key("n1", 1), said=b"two", ending="completed"),
            Hit(key=Key("n2", 1), said=b"three", ending="cut"),
        ],
        rows=[
            kept(0),
            kept(1),
            kept(2, "incomplete", "upstream_truncated"),
            kept(3, "incomplete", "upstream_error"),
        ],
        settled=SETTLED,
        sums=[replace(SETTLED, complete=1, in_flight=1)],
        rests=[(REST, REST), (REST, REST._replace(files=21))],
        recoveries_s=[0.4, RECOVERY_S],
        forwarded=["ex_1", "ex_0"],
    )


def test_a_sound_history_has_no_complaints() -> None:
    assert [] == judge(sound())


def test_what_no_client_saw_the_end_of_may_be_missing() -> None:
    history = sound()
    unseen = [attempt(0), *history.attempts[1:]]
    settled = replace(SETTLED, complete=1, unrecorded=2)
    rows = [replace(row, seq=row.seq - 1) for row in history.rows[1:]]
    history = replace(history, attempts=unseen, rows=rows, settled=settled)
    assert [] == judge(replace(history, forwarded=["ex_1"]))


def changed(number: int, **changes: object) -> list[Kept]:
    rows = list(sound().rows)
    rows[number] = replace(rows[number], **changes)  # type: ignore[arg-type]  # the table below names fields
    return rows


CUT = sound().hits[2]

SEEDED = {
    "a lost row": ("C1", {"rows": sound().rows[1:]}),
    "the last row lost": ("C1", {"rows": sound().rows[:-1]}),
    "a changed answer byte": ("C1", {"rows": changed(1, answer_sha256=b"!" * 32)}),
    "a changed request byte": ("C1", {"rows": changed(0, request_sha256=b"!" * 32)}),
    "another's answer": (
        "C1",
        {"rows": changed(1, answer_sha256=kept(0).answer_sha256)},
    ),
    "a seen end kept as crashed": (
        "C1",
        {"rows": changed(1, state="incomplete", reason="proxy_crashed")},
    ),
    "said to be unrecorded on a sound disk": (
        "C1",
        {"attempts": [attempt(0, disowned=True), *sound().attempts[1:]]},
    ),
    "a refusal kept as complete": ("C1", {"rows": changed(3, state="complete")}),
    "a cut answer kept as complete": ("C2", {"rows": changed(2, state="complete")}),
    "an answer nobody gave": ("C2", {"hits": sound().hits[1:]}),
    "bytes nobody said": ("C2", {"rows": changed(2, answer=b"threeX")}),
    "a doubled upstream hit": ("C3", {"hits": [*sound().hits, CUT]}),
    "a retry of its own": (
        "C3",
        {"hits": [*sound().hits, Hit(key=Key("n2", 2), said=b"")]},
    ),
    "a clean end after a cut": (
        "C4",
        {"attempts": [*sound().attempts[:2], attempt(2, clean=True), attempt(3)]},
    ),
    "a terminal event after a cut": (
        "C4",
        {"attempts": [*sound().attempts[:2], attempt(2, ended=True), attempt(3)]},
    ),
    "a counter off by one": ("C5", {"settled": replace(SETTLED, complete=1)}),
    "two counters off by one": (
        "C5",
        {"settled": replace(SETTLED, complete=3, incomplete=1)},
    ),
    "a live counter off by one": ("C5", {"sums": [replace(SETTLED, in_flight=1)]}),
    "in flight for ever": (
        "C5",
        {"settled": replace(SETTLED, unrecorded=0, in_flight=1)},
    ),
    "a row still open": ("C5", {"rows": changed(2, state="open")}),
    "a hole in the numbers": ("C6", {"rows": changed(3, seq=5)}),
    "a number twice": ("C6", {"rows": changed(3, seq=3)}),
    "a row nobody asked for": ("C6", {"rows": changed(3, key=Key("other", 1))}),
    "a key on disk": ("C7", {"leaks": ["CANARY-auth-00 is in s.db"]}),
    "one key in two projects": ("C8", {"rows": changed(1, project="p2")}),
    "two keys in one project": (
        "C8",
        {"attempts": [attempt(0, ended=True, caller="k2"), *sound().attempts[1:]]},
    ),
    "descriptors left open": ("C9", {"rests": [(REST, REST._replace(files=23))]}),
    "tasks left": ("C9", {"rests": [(REST, REST._replace(tasks=8))]}),
    "threads left": ("C9", {"rests": [(REST, REST._replace(threads=12))]}),
    "a slot left taken": ("C9", {"rests": [(REST, REST._replace(slots=1))]}),
    "memory left": (
        "C9",
        {"rests": [(REST, REST._replace(rss_bytes=2 + 2 * SPREAD.rss_bytes))]},
    ),
    "a damaged file": ("C10", {"findings": ["integrity_check: row 3 missing"]}),
    "slow to recover": ("C11", {"recoveries_s": [0.1, RECOVERY_S + 0.1]}),
    "never recovered": ("C11", {"recoveries_s": [None]}),
    "not forwarded": ("C12", {"forwarded": ["ex_0"]}),
    "forwarded twice": ("C12", {"forwarded": ["ex_0", "ex_1", "ex_0"]}),
    "forwarded unfinished": ("C12", {"forwarded": ["ex_0", "ex_1", "ex_2"]}),
}


def test_every_rule_has_a_seeded_bug() -> None:
    assert {f"C{number}" for number in range(1, 13)} == {r for r, _ in SEEDED.values()}


REQUEST = b'{"model": "m", "messages": [1.0, 2]}'
EDITED = b'{"store":true,"metadata":{"a":"b"},"model": "m", "messages": [1.0, 2]}'


@pytest.mark.parametrize(
    ("got", "rules"),
    [
        (REQUEST, []),
        (EDITED, []),
        (EDITED.replace(b"1.0", b"1"), ["C1"]),
        (EDITED.replace(b'"model": "m", ', b""), ["C1"]),
        (EDITED.replace(b"store", b"stare"), ["C1"]),
        (b'{"messages": [1.0, 2], "model": "m"}', ["C1"]),
    ],
)
def test_what_the_upstream_got_may_have_more_and_nothing_else(
    got: bytes, rules: list[str]
) -> None:
    one = attempt(0, request=REQUEST)
    hit = Hit(key=one.key, got=got, said=b"one", ending="completed")
    history = replace(sound(), attempts=[one, *sound().attempts[1:]])
    history = replace(history, hits=[hit, *sound().hits[1:]])
    assert rules == [found.rule for found in judge(history)]


@pytest.mark.parametrize("bug", SEEDED)
def test_a_seeded_bug_is_found(bug: str) -> None:
    rule, broken = SEEDED[bug]
    found = judge(replace(sound(), **broken))  # type: ignore[arg-type]  # the table names fields
    assert rule in {complaint.rule for complaint in found}


def test_only_what_is_owed_must_be_there() -> None:
    """In `relaxed` the last exchanges may be lost, but none may be kept wrong."""
    history = sound()
    attempts = [attempt(0, ended=True, owed=False), *history.attempts[1:]]
    settled = replace(SETTLED, complete=1, unrecorded=2)
    rows = [replace(row, seq=row.seq - 1) for row in history.rows[1:]]
    lost = replace(history, attempts=attempts, rows=rows, settled=settled)
    lost = replace(lost, forwarded=["ex_1"])
    assert [] == judge(lost)
    wrong = replace(
        history, attempts=attempts, rows=changed(0, answer_sha256=b"!" * 32)
    )
    assert ["C1"] == [complaint.rule for complaint in judge(wrong)]


def test_a_failing_disk_excuses_as_many_losses_as_are_counted() -> None:
    """`fail_open`: an answer without a row is owned up to, or it is lost (D2, D8)."""
    history = sound()
    rows = [replace(row, seq=row.seq - 1) for row in history.rows[1:]]
    lost = replace(history, rows=rows, forwarded=None, fail_open=True)
    counted = replace(SETTLED, complete=1, unrecorded=1, accepted=4)
    assert [] == judge(replace(lost, settled=counted))
    silent = replace(SETTLED, complete=1, unrecorded=0, accepted=3)
    assert ["C1"] == [found.rule for found in judge(replace(lost, settled=silent))]
    sound_disk = replace(lost, settled=counted, fail_open=False)
    assert ["C1"] == [found.rule for found in judge(sound_disk)]


def test_a_failing_disk_excuses_what_a_kill_left_open() -> None:
    rows = changed(1, state="incomplete", reason="proxy_crashed")
    settled = replace(SETTLED, complete=1, incomplete=3)
    history = replace(sound(), rows=rows, settled=settled, forwarded=["ex_0"])
    assert [] == judge(replace(history, fail_open=True))
    assert ["C1"] == [found.rule for found in judge(history)]


def test_a_refusal_at_the_door_owes_no_row() -> None:
    """Refused before it was accepted, an attempt has no id and no row."""
    history = sound()
    turned_away = attempt(3, id="", ended=True, clean=True, refused=True, status=503)
    assert [] == judge(replace(history, attempts=[*history.attempts, turned_away]))
