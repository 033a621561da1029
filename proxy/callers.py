"""Who is calling: turns a caller's key into the project it may read.

The key itself is never kept; only its HMAC under a secret of this installation is.
"""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from proxy.errors import WhoError

SECRET_BYTES = 32
ANONYMOUS = "anonymous"


def project_of(key: bytes | None, secret: bytes) -> str:
    """Return the project of a caller: the whole HMAC-SHA-256 of its key (S-02)."""
    if not key:
        return ANONYMOUS
    return hmac.digest(secret, key, "sha256").hex()


class Callers:
    """Knows who calls by the key that is presented.

    Shapes: `tokens` are those that the operator gave out, for upstreams to which the
    proxy sends a key of its own (`held`); without any, whoever comes may use them.
    """

    def __init__(self, secret: bytes, tokens: Iterable[bytes] = ()) -> None:
        self._secret = secret
        self._issued = frozenset(project_of(token, secret) for token in tokens)

    @property
    def issues_tokens(self) -> bool:
        """Whether the operator gave out tokens."""
        return bool(self._issued)

    def admit(self, key: bytes | None, *, held: bool) -> str:
        """Return the fingerprint of a caller that may send requests.

        Raises: `WhoError` where a token is needed and none is presented, or where one
        would go on to an upstream that is none of its business.
        """
        fingerprint = project_of(key, self._secret)
        if not self._issued:
            return fingerprint
        issued = fingerprint in self._issued
        if held and not issued:
            raise WhoError(
                "This proxy sends a key of its own to this upstream: present a token "
                "that its operator gave you, as 'Authorization: Bearer ...'."
            )
        if issued and not held:
            raise WhoError(
                "A token of this proxy is presented, and this upstream takes keys of "
                "its own: present yours."
            )
        return fingerprint

    def reader(self, key: bytes | None, *, held: bool | None) -> str:
        """Return the fingerprint of a caller that may read what it recorded.

        Shapes: with `held` None it reads of no one upstream, so any key will do.
        Raises: `WhoError` where no key is presented; as `admit`.
        """
        if not key:
            raise WhoError(
                "Reading takes a key: present the one that you record with, as "
                "'Authorization: Bearer ...'.",
                code="missing_api_key",
            )
        if held is None:
            return project_of(key, self._secret)
        return self.admit(key, held=held)


def load_secret(path: Path) -> bytes:
    """Return the installation's secret, made at the first call, readable by us only.

    Raises: `OSError` when the file can neither be read nor made; `ValueError` when it
    holds something else.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
        if len(secret) != SECRET_BYTES:
            raise ValueError(
                f"{path} does not hold {SECRET_BYTES} bytes in hex: restore it from a "
                "backup, or remove it and lose the link between keys and projects"
            ) from None
        return secret
    secret = secrets.token_bytes(SECRET_BYTES)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return secret
