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
    failures: int = 0  # batches that the database did not take
    spool_bytes: int = 0
    free_bytes: int = 0  # on the disk, the reserve not counted
    reserve_bytes: int = 0
    set_aside: int = 0  # files found damaged since the start

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
        self._spooled: set[str] = set()

    @property
    def accepted(self) -> int:
        """How many were accepted."""
        return self._accepted

    @property
    def unrecorded(self) -> int:
        """How many were accepted and are lost: for the file, which no spool is part of.

        To it the spooled ones are in flight: should they never come, they are lost.
        """
        return self._unrecorded.total() - len(self._spooled)

    @property
    def settled(self) -> int:
        """How many ended one way or the other, spooled ones not counted."""
        return self._accepted - len(self._in_flight) - len(self._spooled)

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

    def spool(self, name: str) -> None:
        """Count an exchange that is in the spool, and not in the database."""
        self.lose(name, "spooled")
        self._spooled.add(name)

    def is_spooled(self, name: str) -> bool:
        """Say whether an exchange is in the spool only."""
        return name in self._spooled

    def unspool(self, name: str) -> None:
        """Take an exchange in flight again, which is about to end another way."""
        self._spooled.discard(name)
        self._unrecorded["spooled"] -= 1
        self._unrecorded += Counter()  # without reasons that stand at zero
        self._in_flight.add(name)

    def counters(self) -> Counters:
        """Return P3's terms as they stand."""
        return Counters(
            accepted=self._accepted,
            complete=self._complete,
            incomplete=dict(self._incomplete),
            unrecorded=dict(self._unrecorded),
            in_flight=len(self._in_flight),
        )
