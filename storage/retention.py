"""Lets go what is kept no longer: by age of content or rows, or by the file's size.

Works in slices of a few rows, each inside the caller's transaction, and remembers how
far it is: a walk through the rows goes on where it stopped. Held rows are passed over.
"""

import sqlite3
from typing import Literal, TypeAlias

import msgspec
from sqlalchemy import ColumnElement, Select, not_, or_, select

from storage.changes import remove, strip
from storage.statements import bound
from storage.tables import exchanges, held

Walk: TypeAlias = Literal["bodies", "rows", "failed", "untagged", "oldest"]

DAY_US = 86_400_000_000

# Rows of one slice: those looked at, and those acted on, some milliseconds each.
_MOST_SEEN = 500
_MOST_DONE = 24

# Once the file is too large it is brought a little below: else each row brings a slice.
_ENOUGH = 0.98

_row = exchanges.c
_Rows: TypeAlias = Select[tuple[int, int, int, str, bool]]

# The order of eviction. What failed teaches least, what has no tag nobody asked for.
_EVICTED: tuple[tuple[Walk, ColumnElement[bool] | None], ...] = (
    ("failed", or_(_row.state == "incomplete", _row.status >= 400)),
    ("untagged", _row.tags == "{}"),
    ("oldest", None),
)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much is kept; 0 is for ever, or without bound.

    Units: days since an exchange began; bytes of the database file in use.
    """

    bodies_days: float = 0
    rows_days: float = 0
    most_bytes: int = 0

    @property
    def keeps_all(self) -> bool:
        """Whether nothing ever goes."""
        return not (self.bodies_days or self.rows_days or self.most_bytes)


class Done(msgspec.Struct, frozen=True):
    """What slices did: contents stripped, rows removed; `more` may follow at once."""

    stripped: int = 0
    removed: int = 0
    more: bool = False

    def plus(self, other: "Done") -> "Done":
        """Return the sum with a later one."""
        return Done(
            self.stripped + other.stripped, self.removed + other.removed, other.more
        )


class Retention:
    """One policy, and how far each of its walks is."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._at: dict[Walk, int] = {}  # the seq up to which a walk has seen all
        self._next: dict[Walk, int] = {}  # the same, once the last slice is on disk
        self._evicting = False

    def slice(self, connection: sqlite3.Connection, *, now_at: int) -> Done:
        """Strip or remove some rows, if there are any to go.

        The same ones again until `settle` says that they are gone.
        Units: `now_at` microseconds since the epoch.
        """
        policy, self._next = self.policy, dict(self._at)
        if policy.rows_days:
            before = now_at - int(policy.rows_days * DAY_US)
            done = self._walk(connection, "rows", None, before=before)
            if done.more:
                return done
        if policy.bodies_days:
            before = now_at - int(policy.bodies_days * DAY_US)
            kept = _row.content_kept == 1
            done = self._walk(connection, "bodies", kept, before=before)
            if done.more:
                return done
        return self._evict(connection) if policy.most_bytes else Done()

    def settle(self) -> None:
        """Note that what the last slice did is on disk: the next goes on behind it."""
        self._at = self._next

    def _evict(self, connection: sqlite3.Connection) -> Done:
        used, most = used_bytes(connection), self.policy.most_bytes
        enough = most * _ENOUGH if self._evicting else most
        self._evicting = used > enough
        if self._evicting:
            for walk, wanted in _EVICTED:
                surplus = int(used - most * _ENOUGH)
                done = self._walk(connection, walk, wanted, surplus=surplus)
                if done.more:
                    return done
        return Done()

    def _walk(
        self,
        connection: sqlite3.Connection,
        walk: Walk,
        wanted: ColumnElement[bool] | None,
        *,
        before: int | None = None,
        surplus: int | None = None,
    ) -> Done:
        """Go on with one walk: look at some rows, and let those go that are to go.

        Units: `surplus` bytes are enough, as the bodies were before they were packed.
        """
        size = _row.request_size + _row.answer_size
        goes = _goes(wanted)
        query: _Rows = select(_row.seq, _row.created_at, size, _row.state, goes)
        query = query.outerjoin_from(exchanges, held, held.c.seq == _row.seq)
        query = query.where(_row.seq > self._at.get(walk, 0))
        gone: list[int] = []
        more = False
        seen = connection.execute(*bound(query.order_by(_row.seq).limit(_MOST_SEEN)))
        waits, freed = False, 0
        for seq, created_at, size_bytes, state, going in seen.fetchall():
            if state == "open" or (before is not None and created_at >= before):
                waits = True  # to be seen again; behind it some may be to go
                continue
            if not waits:
                self._next[walk] = seq
                more = True
            if going:
                gone.append(seq)
                freed += size_bytes
                if len(gone) == _MOST_DONE or (surplus and freed >= surplus):
                    break
        more = more or bool(gone)
        if walk == "bodies":
            return Done(strip(connection, gone), 0, more)
        return Done(0, remove(connection, gone), more)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the file without what is free in it."""
    count, free, size = (
        int(connection.execute(pragma).fetchone()[0])
        for pragma in ("PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA page_size")
    )
    return (count - free) * size


def _goes(wanted: ColumnElement[bool] | None) -> ColumnElement[bool]:
    free = not_(_row.state == "open") & held.c.seq.is_(None)
    return free if wanted is None else free & wanted
