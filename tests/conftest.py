"""What every test may ask for, and what watches over all of them."""

import logging
import os

import pytest

from tests.canary import FOLDERS, Watch

OURS = ("proxy", "distill", "storage", "uvicorn")
TERMINAL = ("COLUMNS", "LINES")  # how large it is that the tests run in: not theirs


def pytest_configure(config: pytest.Config) -> None:
    """Have all that our own code logs captured, and watch it for keys."""
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    for name in TERMINAL:
        os.environ.pop(name, None)
    config.pluginmanager.register(Watch(config))


@pytest.fixture(scope="session", autouse=True)
def _folders(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> None:
    pytestconfig.stash[FOLDERS] = tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run `pytest.mark.anyio` tests on the loop that `spiritsafe serve` runs."""
    return "asyncio", {"use_uvloop": True}
