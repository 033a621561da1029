"""Plain counters of the traffic side: read by /metrics, kept out of the hot path."""

from bisect import bisect_left
from collections import Counter

from storage.records import Exchange, Judgement

OWN_TIME_BUCKETS_US = (250, 500, 1000, 2000, 5000, 10_000, 50_000, 250_000, 1_000_000)
"""Upper bounds of the histogram of added time, in microseconds."""

REGISTERED = ("header", "tag", "binding")
"""How `Judgement.why` begins where the schema is one of the registry."""

MOST_VERDICTS = 1000
"""Pairs of schema and verdict that are counted apart; further ones are under ""."""


class Meters:
    """Counts what passes; integers only, no locks, one event loop.

    Units: `own_us_total` microseconds.
    """

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str, int]] = Counter()
        self.relayed: Counter[str] = Counter()
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.own_buckets = [0] * (len(OWN_TIME_BUCKETS_US) + 1)
        self.own_us_total = 0

    def passed(self, exchange: Exchange) -> None:
        """Count one captured exchange at its end."""
        self.answers[exchange.upstream, exchange.endpoint, exchange.status] += 1
        self.own_buckets[bisect_left(OWN_TIME_BUCKETS_US, exchange.own_us)] += 1
        self.own_us_total += exchange.own_us
        if exchange.judgements:
            for judgement in exchange.judgements:
                self._judged(judgement)

    def _judged(self, judgement: Judgement) -> None:
        """Count one verdict; names that requests choose are never a label (S-27)."""
        registered = judgement.why.startswith(REGISTERED)
        known = registered and judgement.reason != "unknown_schema"
        schema = judgement.schema if known else ""
        full = len(self.verdicts) >= MOST_VERDICTS
        if full and (schema, judgement.verdict) not in self.verdicts:
            schema = ""
        self.verdicts[schema, judgement.verdict] += 1
