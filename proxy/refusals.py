"""What a client is told when storage does not do what was asked of it."""

from typing import Final

from proxy.errors import (
    BusyError,
    ClientError,
    NotFoundError,
    OwnError,
    SpiritsafeError,
    UnderWayError,
    ValueRefused,
)
from storage.errors import (
    BadCursor,
    BadQuery,
    HeldByRelease,
    NoSuchBinding,
    NoSuchExchange,
    NoSuchSchema,
    ReadTooLong,
    StillOpen,
    StorageError,
    StorageFailed,
    TooManyReads,
)

_REFUSALS: Final[dict[type[StorageError], tuple[type[SpiritsafeError], str]]] = {
    NoSuchExchange: (NotFoundError, "not_found"),
    NoSuchSchema: (NotFoundError, "not_found"),
    NoSuchBinding: (NotFoundError, "not_found"),
    StillOpen: (UnderWayError, "under_way"),
    HeldByRelease: (UnderWayError, "held_by_release"),
    TooManyReads: (BusyError, "proxy_busy"),
    ReadTooLong: (BusyError, "read_too_long"),
    StorageFailed: (BusyError, "storage_failed"),
}


def refusal_of(error: StorageError) -> SpiritsafeError:
    """Return what to answer when storage raises this.

    >>> refusal_of(NoSuchExchange("no exchange has the id ex_1"))
    NotFoundError('No exchange has the id ex_1.')
    """
    if isinstance(error, BadQuery):
        return ClientError(f"q: {error}.", code="invalid_query", param="q")
    if isinstance(error, BadCursor):
        return ValueRefused(_sentence(f"{error}"), param="cursor")
    kind, code = _REFUSALS.get(type(error), (OwnError, "internal_error"))
    if kind is OwnError:
        return OwnError("What is recorded cannot be read: see 'spiritsafe verify'.")
    told = (
        "Storage fails: nothing was changed" if code == "storage_failed" else f"{error}"
    )
    return kind(_sentence(told), code=code)


def _sentence(told: str) -> str:
    return f"{told[:1].upper()}{told[1:]}."
