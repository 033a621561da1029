"""Judges histories: what clients and the upstream saw against what the file holds.

Pure: it is handed plain values and returns complaints. It knows nothing of how the
program works, so a fault of the program cannot be a fault of the judge too. The names
of the rules are those of the oracle in the reliability notes, C1 to C12; a rule about
something that a test did not look at has nothing to say.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple

import msgspec


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request as its client saw it.

    Shapes: `seen` is the answer's body so far. `ended` says that the client saw its
    end: the terminal event, or the last byte that the head announced; `clean` that the
    framing ended as well. `refused` marks an error of the proxy's own.
    `owed` is false where the mode promises nothing about this one (`relaxed`).
    `disowned` marks an answer that says it is not recorded. `caller` is the key that
    the request carried.
    """

    nonce: str
    number: int
    request: bytes
    id: str = ""
    status: int = 0
    seen: bytes = b""
    ended: bool = False
    clean: bool = False
    refused: bool = False
    withheld: bool = False  # refused only because its commit did not come (D8)
    owed: bool = True
    disowned: bool = False
    caller: str = ""

    @property
    def key(self) -> "Key":
        """What the upstream's history calls this attempt."""
        return Key(self.nonce, self.number)


class Key(NamedTuple):
    """One attempt at one request: the same nonce comes again when a client retries."""

    nonce: str
    number: int


@dataclass(slots=True, kw_only=True)
class Hit:
    """One request as the upstream saw it.

    Shapes: `got` is the request's body as it arrived, None where nobody looked; `said`
    is the answer's body as far as it was written; `ending` is `cut` where the upstream
    broke it off itself.
    """

    key: Key
    got: bytes | None = None
    said: bytes = b""
    ending: Literal["under way", "completed", "cut"] = "under way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One row of the file, and the key that its request body carries."""

    id: str
    seq: int
    key: Key
    state: str
    reason: str | None
    request_sha256: bytes
    answer_sha256: bytes
    answer: bytes
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """P3's terms at one instant, from /metrics or from the file."""

    accepted: int
    complete: int
    incomplete: int
    unrecorded: int
    in_flight: int


class Footing(NamedTuple):
    """What a program at rest holds; what was not looked at is 0."""

    files: int = 0
    threads: int = 0
    tasks: int = 0
    slots: int = 0
    rss_bytes: int = 0


SPREAD = Footing(files=2, threads=8, tasks=2, slots=0, rss_bytes=64 * 1024 * 1024)
"""How far apart two rests may be: worker threads, and memory, are kept once made."""

ADDED = frozenset({"store", "metadata"})
"""The members that the program may add to a request."""

RECOVERY_S = 5.0
"""How soon the service answers again (C11)."""


class Complaint(NamedTuple):
    """One broken rule."""

    rule: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that is to be judged.

    Shapes: `sums` were read while the program ran, `settled` from the file after its
    next start. `findings` are what `integrity_check` and `verify` had to say, `leaks`
    where a key was found (`tests/canary.py`). `rests` are pairs of the program at rest,
    before and after. `recoveries_s` has, for each fault, the seconds from its end to
    the next answer, None where none came. `forwarded` are the ids that arrived at a
    forward target, None where nothing is forwarded.
    `fail_open` says that storage failed in this run: what then was released without a
    row has to be counted as unrecorded (D2, D8).
    """

    attempts: Sequence[Attempt]
    hits: Sequence[Hit]
    rows: Sequence[Kept]
    settled: Sums
    sums: Sequence[Sums] = ()
    findings: Sequence[str] = ()
    leaks: Sequence[str] = ()
    rests: Sequence[tuple[Footing, Footing]] = ()
    recoveries_s: Sequence[float | None] = ()
    recovery_s: float = RECOVERY_S
    forwarded: Sequence[str] | None = None
    fail_open: bool = False


def judge(history: History) -> list[Complaint]:
    """Return every rule that the history breaks."""
    return [
        *whole_where_the_end_was_seen(history),
        *sent_on_as_it_came(history),
        *nothing_invented(history),
        *nothing_sent_twice(history),
        *no_clean_end_after_a_cut(history),
        *sums_add_up(history),
        *no_holes(history),
        *(Complaint("C7", leak) for leak in history.leaks),
        *each_caller_its_project(history),
        *nothing_left_behind(history),
        *(Complaint("C10", finding) for finding in history.findings),
        *answers_soon_again(history),
        *forwarded_once(history),
    ]


def whole_where_the_end_was_seen(history: History) -> Iterator[Complaint]:
    """C1: whose end a client saw is in the file, with its very bytes."""
    rows = {row.id: row for row in history.rows}
    missing = []
    for attempt in history.attempts:
        row = rows.get(attempt.id)
        if attempt.disowned and not (history.fail_open or attempt.withheld):
            yield Complaint("C1", f"{attempt.key}: unrecorded, and storage was sound")
        if not attempt.ended or (attempt.refused and not attempt.id):
            continue  # refused at the door, it was never accepted
        if row is None:
            if attempt.owed and not attempt.withheld:
                missing.append(attempt)
            continue
        yield from same_bytes(attempt, row, fail_open=history.fail_open)
    excused = history.settled.unrecorded if history.fail_open else 0
    if len(missing) > excused:
        for attempt in missing:
            yield Complaint("C1", f"{attempt.key}: its end was seen, and it is lost")


def same_bytes(attempt: Attempt, row: Kept, *, fail_open: bool) -> Iterator[Complaint]:
    """C1: a row holds what the client saw, and says of it what the client saw."""
    if row.request_sha256 != sha256(attempt.request).digest():
        yield Complaint("C1", f"{attempt.key}: not the request that was sent")
    if attempt.refused:
        if row.state != "incomplete" and not attempt.withheld:
            yield Complaint("C1", f"{attempt.key}: refused, and kept as {row.state}")
    elif row.state != "complete":
        # Released before it was on disk, and then killed: the row says so (D8).
        if attempt.owed and not (fail_open and row.reason == "proxy_crashed"):
            what = f"its end was seen, and it is {row.reason}"
            yield Complaint("C1", f"{attempt.key}: {what}")
    elif row.answer_sha256 != sha256(attempt.seen).digest():
        yield Complaint("C1", f"{attempt.key}: not the answer that was seen")


def sent_on_as_it_came(history: History) -> Iterator[Complaint]:
    """C1: what the upstream got is what the client sent, and what may be added (D3)."""
    sent = {attempt.key: attempt.request for attempt in history.attempts}
    for hit in history.hits:
        request = sent.get(hit.key)
        if request is None or hit.got is None or hit.got == request:
            continue
        want, found = members(request), members(hit.got)
        for name in ADDED - {name for name, _ in want}:
            found = [member for member in found if member[0] != name]
        if want != found:
            yield Complaint("C1", f"{hit.key}: another request went upstream")


def members(body: bytes) -> list[tuple[str, bytes]]:
    """Return the top-level members of a body, in order, values as their bytes."""
    return [
        (name, bytes(value))
        for name, value in msgspec.json.decode(
            body, type=dict[str, msgspec.Raw]
        ).items()
    ]


def nothing_invented(history: History) -> Iterator[Complaint]:
    """C2: what is complete the upstream completed; what is not is a prefix of it."""
    hits = {hit.key: hit for hit in history.hits}
    for row in history.rows:
        hit = hits.get(row.key)
        if row.state == "complete" and (hit is None or hit.ending != "completed"):
            ending = "never asked" if hit is None else hit.ending
            yield Complaint("C2", f"{row.key}: complete, and upstream was {ending}")
        if not (hit.said if hit else b"").startswith(row.answer):
            yield Complaint("C2", f"{row.key}: keeps bytes that upstream never said")


def nothing_sent_twice(history: History) -> Iterator[Complaint]:
    """C3: no request reached the upstream more often than a client sent it."""
    sent = Counter(attempt.key for attempt in history.attempts)
    for key, times in Counter(hit.key for hit in history.hits).items():
        if times > sent[key]:
            yield Complaint("C3", f"{key}: sent {sent[key]} times, seen {times} times")


def no_clean_end_after_a_cut(history: History) -> Iterator[Complaint]:
    """C4: an answer that the upstream did not end looks ended to nobody."""
    whole = {hit.key for hit in history.hits if hit.ending == "completed"}
    for attempt in history.attempts:
        looks_whole = attempt.ended or attempt.clean
        if looks_whole and not attempt.refused and attempt.key not in whole:
            yield Complaint(
                "C4", f"{attempt.key}: a clean end that upstream never gave"
            )


def sums_add_up(history: History) -> Iterator[Complaint]:
    """C5: accepted = complete + incomplete + unrecorded + in flight, at any time."""
    for sums in (*history.sums, history.settled):
        told = sums.complete + sums.incomplete + sums.unrecorded + sums.in_flight
        if sums.accepted != told:
            yield Complaint("C5", f"the sums do not add up: {sums}")
    settled = history.settled
    if settled.in_flight:
        yield Complaint("C5", f"{settled.in_flight} in flight, and nothing runs")
    counted = Counter(row.state for row in history.rows)
    for state, said in (
        ("complete", settled.complete),
        ("incomplete", settled.incomplete),
        ("open", 0),
    ):
        if counted[state] != said:
            yield Complaint("C5", f"{said} {state}, and {counted[state]} such rows")


def no_holes(history: History) -> Iterator[Complaint]:
    """C6: row numbers run from one without a gap, and each was asked for by a client."""
    numbers = sorted(row.seq for row in history.rows)
    if numbers != list(range(1, len(numbers) + 1)):
        yield Complaint("C6", f"{len(numbers)} rows, numbered up to {numbers[-1]}")
    sent = {attempt.key for attempt in history.attempts}
    for row in history.rows:
        if row.key not in sent:
            yield Complaint("C6", f"{row.id}: nobody asked {row.key}")


def each_caller_its_project(history: History) -> Iterator[Complaint]:
    """C8: what one key sent is one project's, and no other key's."""
    callers = {attempt.id: attempt.caller for attempt in history.attempts}
    owners: dict[str, str] = {}
    projects: dict[str, str] = {}
    for row in history.rows:
        caller = callers.get(row.id)
        if caller is None:
            continue  # its client never saw the id
        if projects.setdefault(caller, row.project) != row.project:
            yield Complaint("C8", f"{row.id}: its key has another project elsewhere")
        if owners.setdefault(row.project, caller) != caller:
            yield Complaint("C8", f"{row.id}: in the project of another key")


def nothing_left_behind(history: History) -> Iterator[Complaint]:
    """C9: at rest again, the program holds what it held at rest before."""
    for before, after in history.rests:
        for name, was, now, spread in zip(
            Footing._fields, before, after, SPREAD, strict=True
        ):
            if now - was > spread:
                yield Complaint("C9", f"{name}: {was} at rest before, {now} after")


def answers_soon_again(history: History) -> Iterator[Complaint]:
    """C11: after a fault the service answers again, and soon."""
    for seconds in history.recoveries_s:
        if seconds is None:
            yield Complaint("C11", "it never answered again")
        elif seconds > history.recovery_s:
            yield Complaint("C11", f"it answered again after {seconds:.1f} s")


def forwarded_once(history: History) -> Iterator[Complaint]:
    """C12: a forward target holds each complete row, and each once."""
    if history.forwarded is None:
        return
    arrived = Counter(history.forwarded)
    complete = {row.id for row in history.rows if row.state == "complete"}
    for name in sorted(complete - arrived.keys()):
        yield Complaint("C12", f"{name}: complete, and not forwarded")
    for name, times in arrived.items():
        if name not in complete:
            yield Complaint("C12", f"{name}: forwarded, and not complete")
        elif times > 1:
            yield Complaint("C12", f"{name}: forwarded {times} times")
