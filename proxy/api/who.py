"""Who reads: the console's token sees all, a caller's key what its project recorded."""

import hmac
import secrets
from collections.abc import Iterable

import msgspec

from proxy.callers import Callers
from proxy.headers import credential
from storage.access import projects_of
from storage.reading import Library


class Visitor(msgspec.Struct, frozen=True):
    """Who asks. Shapes: the `fingerprint` of a key; None sees all."""

    fingerprint: str | None

    @property
    def sees_all(self) -> bool:
        """Whether the console's token was brought."""
        return self.fingerprint is None

    def projects(self, library: Library) -> frozenset[str] | None:
        """Return the fingerprints whose recordings are seen; None for all."""
        if self.fingerprint is None:
            return None
        return projects_of(library.connection, self.fingerprint)


class Door:
    """Lets visitors in by the key or the token that they bring.

    Shapes: `tokens` open all that is recorded; with `only_issued` a caller has to
    have a token that the operator gave out, where there are such.
    """

    def __init__(
        self, callers: Callers, tokens: Iterable[bytes], *, only_issued: bool
    ) -> None:
        self._callers = callers
        self._only_issued = only_issued and callers.issues_tokens
        self._salt = secrets.token_bytes(32)
        self._tokens = [self._digest(token) for token in tokens]

    def let_in(self, headers: Iterable[tuple[bytes, bytes]]) -> Visitor:
        """Return who asks.

        Raises: `WhoError` where nobody says who they are, or nobody known.
        """
        key = credential(headers)
        digest = self._digest(key or b"")
        # Each is compared, in a time that no part of the key changes.
        known = [hmac.compare_digest(digest, token) for token in self._tokens]
        if any(known):
            return Visitor(None)
        held = True if self._only_issued else None
        return Visitor(self._callers.reader(key, held=held))

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._salt, key, "sha256")
