"""What judging many exchanges found: counts, and where answers break the schema."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from proxy.schemas.judge import summary
from storage.records import Json, Judgement

MOST_PLACES = 1000
"""Places counted apart; a schema that leaves names open may have any number."""

MOST_EXAMPLES = 3

ELSEWHERE = "…"

_INDEX = re.compile(r"/\d+(?=/|$)")


class Place(msgspec.Struct):
    """One place of answers that breaks one rule of the schema.

    Shapes: `at` and `rule` are JSON pointers, in `at` with `*` for every index;
    `message` is that of the first; `examples` are ids.
    """

    at: str
    rule: str
    message: str
    count: int = 0
    examples: list[str] = []


class Findings(msgspec.Struct):
    """Counts of exchanges; to be added to.

    Shapes: `verdicts` counts the judged ones by their worst verdict, `reasons` those of
    the unchecked; `skipped` tells why others were not judged at all; `changes` counts
    by the verdict before, "" for none, and the one now.
    """

    exchanges: int = 0
    verdicts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    skipped: dict[str, int] = {}
    changes: dict[tuple[str, str], int] = {}
    places: dict[tuple[str, str], Place] = {}

    @property
    def judged(self) -> int:
        """How many exchanges got a verdict."""
        return sum(self.verdicts.values())

    @property
    def pass_ratio(self) -> float | None:
        """The share of valid ones of those that are valid or invalid."""
        valid, invalid = (self.verdicts.get(v, 0) for v in ("valid", "invalid"))
        return valid / (valid + invalid) if valid + invalid else None

    def skip(self, why: str) -> None:
        """Count an exchange that is not judged."""
        self.exchanges += 1
        _count(self.skipped, why)

    def valid(self, before: str | None) -> None:
        """Count an exchange whose one judged part is valid."""
        self.exchanges += 1
        _count(self.verdicts, "valid")
        _count(self.changes, (before or "", "valid"))

    def add(
        self, name: str, before: str | None, judgements: Sequence[Judgement]
    ) -> None:
        """Count an exchange with this id, by what was judged of it."""
        verdict = summary(judgements)[1] or ""
        self.exchanges += 1
        _count(self.verdicts, verdict)
        _count(self.changes, (before or "", verdict))
        for judged in judgements:
            if judged.reason:
                _count(self.reasons, judged.reason)
            if judged.faults:
                first = judged.faults[0]
                at = _INDEX.sub("/*", first.at)
                self._place(Place(at, first.rule, first.message, 1, [name]))

    def merge(self, other: "Findings") -> None:
        """Add what others found."""
        self.exchanges += other.exchanges
        _merge(self.verdicts, other.verdicts)
        _merge(self.reasons, other.reasons)
        _merge(self.skipped, other.skipped)
        _merge(self.changes, other.changes)
        for place in other.places.values():
            self._place(place)

    def report(self) -> dict[str, Json]:
        """Return what programs get."""
        places = sorted(self.places.values(), key=lambda its: (-its.count, its.at))
        return {
            "exchanges": self.exchanges,
            "judged": self.judged,
            "pass_ratio": self.pass_ratio,
            "verdicts": self.verdicts,
            "unchecked": self.reasons,
            "not_judged": self.skipped,
            "changes": [
                {"before": before or None, "now": now, "count": count}
                for (before, now), count in sorted(self.changes.items())
            ],
            "errors": [msgspec.structs.asdict(place) for place in places],
        }

    def _place(self, place: Place) -> None:
        key = (place.at, place.rule)
        known = self.places.get(key)
        if known is None and len(self.places) >= MOST_PLACES:
            key = (ELSEWHERE, "")
            known = self.places.get(key)
            place = Place(*key, "", place.count, place.examples)
        if known is None:
            self.places[key] = msgspec.structs.replace(
                place, examples=list(place.examples)
            )
            return
        known.count += place.count
        room = MOST_EXAMPLES - len(known.examples)
        known.examples += place.examples[:room]


def _count(counts: dict[str, int] | dict[tuple[str, str], int], key: Json) -> None:
    counts[key] = counts.get(key, 0) + 1


def _merge(counts: dict[Json, int], others: Mapping[Json, int]) -> None:
    for key, count in others.items():
        counts[key] = counts.get(key, 0) + count
