"""Who is calling: turns a caller's key into the project it may read.

The key itself is never kept; only its HMAC under a secret of this installation is.
"""

import hmac
import os
import secrets
from pathlib import Path

SECRET_BYTES = 32
ANONYMOUS = "anonymous"


def project_of(key: bytes | None, secret: bytes) -> str:
    """Return the project of a caller: the whole HMAC-SHA-256 of its key (S-02)."""
    if not key:
        return ANONYMOUS
    return hmac.digest(secret, key, "sha256").hex()


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
