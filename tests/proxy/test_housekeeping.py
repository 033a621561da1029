"""What commands ask of a running server is read within bounds."""

from pathlib import Path

import httpx
import pytest

from proxy.housekeeping import PATH, SCHEMAS_PATH
from storage.engines.owner import told
from tests.proxy.api.served import served

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", [PATH, SCHEMAS_PATH])
async def test_a_wish_has_a_size_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("proxy.housekeeping.MOST_BODY_BYTES", 100)
    async with served(tmp_path) as to:
        owner = told(tmp_path / "s.db")
        assert owner is not None
        headers = {"authorization": f"Bearer {owner[1]}"}
        async with httpx.AsyncClient(base_url=to.proxy.url, headers=headers) as client:
            answer = await client.post(path, content=b"[" * 101)
            assert 413 == answer.status_code
            assert "100 bytes at most" in answer.text
            assert 400 == (await client.post(path, content=b"[" * 100)).status_code
