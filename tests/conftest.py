"""What every test may ask for."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `pytest.mark.anyio` tests on asyncio, where the program runs."""
    return "asyncio"
