"""Fixtures of the storage tests."""

import pytest
from hypothesis import HealthCheck, settings

# The machines that run this are shared: no test asserts a time, nor shall hypothesis.
settings.register_profile(
    "storage", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("storage")


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio alone: the recorder belongs to its loop."""
    return "asyncio"
