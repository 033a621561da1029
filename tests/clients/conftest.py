"""Both faces of the official Python client."""

import pytest

from tests.clients.joined import FACES


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    """Each test that asks for it runs once for the sync and once for the async client."""
    return str(request.param)
