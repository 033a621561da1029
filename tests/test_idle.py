"""What a server loads only once it is needed, seen from outside in its memory map."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.crash.running import serving
from tests.living import RawClient
from tests.scripted_upstream import CHAT, scripted_upstream
from tests.wire.judging import FORMAT, RIGHT, asking, saying

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="/proc is Linux's"),
]

# At debug level /proc shows us the process where we are not root (S-07).
READABLE = {"SPIRITSAFE_LOG_LEVEL": "debug"}
RULE = {"name": "card", "pattern": "[0-9]{16}"}


def loaded(pid: int) -> set[str]:
    """Return which of the large libraries a process has."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in ("jsonschema_rs", "_re2") if f"/{name}." in maps}


async def test_only_who_judges_has_the_library_that_judges(tmp_path: Path) -> None:
    told: list[Any] = []
    async with (
        scripted_upstream(saying(RIGHT)) as upstream,
        serving(tmp_path / "s.db", upstream.url, variables=READABLE) as running,
        RawClient.connect(running.port) as client,
    ):
        for body in (CHAT, asking(response_format=FORMAT), CHAT):
            told.append(loaded(running.process.pid))
            await client.post("/v1/chat/completions", body)
            _, headers = await client.head()
            await client.body(headers)
            told.append(headers.get("x-spiritsafe-verdict"))
    assert [set(), None, set(), "valid", {"jsonschema_rs"}, None] == told


async def test_only_who_masks_has_the_library_that_masks(tmp_path: Path) -> None:
    variables = {**READABLE, "SPIRITSAFE_REDACT": json.dumps([RULE])}
    db, nowhere = tmp_path / "s.db", "http://127.0.0.1:9"
    async with serving(db, nowhere, variables=variables) as running:
        assert {"_re2"} == loaded(running.process.pid)
