"""One recorded file for all command tests: they only read."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.proxy.commands.recording import recorded


class Recorded(NamedTuple):
    """The file, and the ids in it by what was asked."""

    db: Path
    ids: dict[str, str]


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    db = tmp_path_factory.mktemp("commands") / "s.db"
    return Recorded(db, recorded(db))
