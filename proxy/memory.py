"""How much memory this process may have, and what part of it bodies get."""

import os
import resource
from collections.abc import Iterable
from pathlib import Path

CGROUPS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container sees its own limit, in the second and the first version."""

MIB = 1024 * 1024

REST_BYTES = 160 * MIB
"""For all but bodies: 70 MiB resident, and the stacks of threads where a resource limit
counts what is only reserved (2026-11-21)."""

LEAST_BYTES = 16 * MIB
MOST_BYTES = 1024 * MIB


def limit_bytes(cgroups: Iterable[Path] = CGROUPS) -> int:
    """Return the lowest limit: of the machine, of resources, of the container."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    for path in cgroups:
        try:
            limits.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # it is not there, or it says `max`
            continue
    return min(limits)


def bodies_bytes(limit: int) -> int:
    """Return how many bytes of request bodies may be held within a memory limit.

    At its peak, which is while it is written to the file, a body of n bytes takes 3.3 n
    (2026-11-21).

    >>> bodies_bytes(512 * MIB) // MIB
    88
    """
    return max(LEAST_BYTES, min((limit - REST_BYTES) // 4, MOST_BYTES))


def answers_bytes(limit: int) -> int:
    """Return how many bytes of long answers may be held within a memory limit."""
    return max(LEAST_BYTES, (limit - REST_BYTES) // 8)
