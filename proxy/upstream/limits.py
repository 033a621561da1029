"""The bounds of one upstream: seconds, connections and bytes."""

from dataclasses import dataclass
from typing import Self

from proxy.settings import UpstreamSettings

# nginx refuses 4 to 8 KiB by default, h11 16 KiB, curl 300 KiB in all (H-20).
MAX_HEAD_BYTES = 100 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long an upstream may take, and how much of us it may hold.

    Units: `first_byte_timeout_s` runs from the written request to the answer's head,
    `idle_timeout_s` between two reads of its body; the rest as in `UpstreamSettings`.
    """

    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 900.0
    idle_timeout_s: float = 600.0
    max_connections: int = 6000
    pool_timeout_s: float = 10.0
    idle_expiry_s: float = 4.0
    max_head_bytes: int = MAX_HEAD_BYTES

    @classmethod
    def of(cls, settings: UpstreamSettings) -> Self:
        """Return the limits that these settings ask for."""
        return cls(
            connect_timeout_s=settings.connect_timeout_s,
            first_byte_timeout_s=settings.first_byte_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
            max_connections=settings.max_connections,
            pool_timeout_s=settings.pool_timeout_s,
            idle_expiry_s=settings.idle_expiry_s,
        )
