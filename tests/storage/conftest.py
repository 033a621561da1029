"""Fixtures of the storage tests."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio alone: the recorder belongs to its loop."""
    return "asyncio"
