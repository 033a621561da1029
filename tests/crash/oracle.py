"""Judges histories: what clients and the upstream saw against what the file holds.

Pure: it is handed plain values and returns complaints. It knows nothing of how the
program works, so a fault of the program cannot be a fault of the judge too. The names
of the rules are those of the oracle in the reliability notes: C1 to C6 and C10.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One request as its client saw it.

    Shapes: `seen` is the answer's body so far. `ended` says that the client saw its
    end: the terminal event, or the last byte that the head announced; `clean` that the
    framing ended as well. `refused` marks an error of the proxy's own.
    `owed` is false where the mode promises nothing about this one (`relaxed`).
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
    owed: bool = True

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

    Shapes: `said` is the answer's body as far as it was written; `ending` is `cut`
    where the upstream broke it off itself.
    """

    key: Key
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """P3's terms at one instant, from /metrics or from the file."""

    accepted: int
    complete: int
    incomplete: int
    unrecorded: int
    in_flight: int


class Complaint(NamedTuple):
    """One broken rule."""

    rule: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that is to be judged.

    Shapes: `sums` were read while the program ran, `settled` from the file after its
    next start. `findings` are what `integrity_check` and `verify` had to say.
    """

    attempts: Sequence[Attempt]
    hits: Sequence[Hit]
    rows: Sequence[Kept]
    settled: Sums
    sums: Sequence[Sums] = ()
    findings: Sequence[str] = ()


def judge(history: History) -> list[Complaint]:
    """Return every rule that the history breaks."""
    return [
        *whole_where_the_end_was_seen(history),
        *nothing_invented(history),
        *nothing_sent_twice(history),
        *no_clean_end_after_a_cut(history),
        *sums_add_up(history),
        *no_holes(history),
        *(Complaint("C10", finding) for finding in history.findings),
    ]


def whole_where_the_end_was_seen(history: History) -> Iterator[Complaint]:
    """C1: whose end a client saw is in the file, with its very bytes."""
    rows = {row.id: row for row in history.rows}
    for attempt in history.attempts:
        row = rows.get(attempt.id)
        if not attempt.ended or (row is None and not attempt.owed):
            continue
        if row is None:
            yield Complaint("C1", f"{attempt.key}: its end was seen, and it is lost")
            continue
        if row.request_sha256 != sha256(attempt.request).digest():
            yield Complaint("C1", f"{attempt.key}: not the request that was sent")
        if attempt.refused:
            if row.state != "incomplete":
                yield Complaint(
                    "C1", f"{attempt.key}: refused, and kept as {row.state}"
                )
            continue
        if row.state != "complete" and attempt.owed:
            yield Complaint(
                "C1", f"{attempt.key}: its end was seen, and it is {row.reason}"
            )
        elif row.answer_sha256 != sha256(attempt.seen).digest():
            yield Complaint("C1", f"{attempt.key}: not the answer that was seen")


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
