"""Counts what becomes of each accepted exchange, so that none goes missing unseen."""

from collections import Counter

import msgspec

from storage.records import Exchange


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """The recorder's numbers at one instant of this run.

    Units: `commit_s` seconds in commits, all batches together; `queue_bytes` waiting.
    """

    accepted: int
    complete: int
    incomplete: dict[str, int]
    unrecorded: dict[str, int]
    in_flight: int
    batches: int = 0
    commit_s: float = 0.0
    queue_bytes: int = 0
    last_batch_size: int = 0

    @property
    def balanced(self) -> bool:
        """Whether P3 holds: all that was accepted is accounted for."""
        incomplete = sum(self.incomplete.values())
        settled = self.complete + incomplete + sum(self.unrecorded.values())
        return self.accepted == settled + self.in_flight


class Ledger:
    """Keeps P3's terms, each by itself: what is in flight is a set, no difference."""

    def __init__(self) -> None:
        self._accepted = 0
        self._complete = 0
        self._incomplete: Counter[str] = Counter()
        self._unrecorded: Counter[str] = Counter()
        self._in_flight: set[str] = set()

    @property
    def accepted(self) -> int:
        """How many were accepted."""
        return self._accepted

    @property
    def unrecorded(self) -> int:
        """How many were accepted and are not kept."""
        return self._unrecorded.total()

    @property
    def in_flight(self) -> frozenset[str]:
        """The ids of those that have not ended."""
        return frozenset(self._in_flight)

    def accept(self, name: str) -> None:
        """Count an exchange as accepted and in flight."""
        self._accepted += 1
        self._in_flight.add(name)

    def end(self, exchange: Exchange) -> None:
        """Count an exchange whose final row is committed."""
        if exchange.state == "complete":
            self._complete += 1
        else:
            self._incomplete[exchange.reason or "unknown"] += 1
        self._in_flight.discard(exchange.id)

    def settle(self, name: str, reason: str) -> None:
        """Count an exchange that was closed as incomplete where it stood."""
        self._incomplete[reason] += 1
        self._in_flight.discard(name)

    def lose(self, name: str, reason: str) -> None:
        """Count an exchange that will not be kept."""
        self._unrecorded[reason] += 1
        self._in_flight.discard(name)

    def counters(self) -> Counters:
        """Return P3's terms as they stand."""
        return Counters(
            accepted=self._accepted,
            complete=self._complete,
            incomplete=dict(self._incomplete),
            unrecorded=dict(self._unrecorded),
            in_flight=len(self._in_flight),
        )
