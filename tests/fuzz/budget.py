"""How many examples a fuzz test gets, and where its randomness starts."""

import os
import secrets
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings

Test = TypeVar("Test", bound=Callable[..., object])


def examples(usual: int) -> int:
    """Return how many examples to try: FUZZ_EXAMPLES where set."""
    return int(os.environ.get("FUZZ_EXAMPLES") or usual)


def seed() -> int:
    """Return the seed of this run: FUZZ_SEED where set; pytest shows it on failure."""
    number = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(1_000_000))
    print(f"FUZZ_SEED={number}")  # noqa: T201  pytest shows it with a failure
    return number


def fuzzed(usual: int) -> Callable[[Test], Test]:
    """Return a decorator that gives a property this many examples, and all its time."""
    return settings(
        max_examples=examples(usual),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
