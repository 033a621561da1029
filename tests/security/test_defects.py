"""A defect of ours, at any stage, tells no key: not in the log, not to the client (S-03)."""

from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests import canary
from tests.living import RawClient
from tests.scripted_upstream import CHAT
from tests.transparency.standing import standing
from tests.transparency.wire import PLAIN, ask, chat

pytestmark = pytest.mark.anyio

STAGES = [
    "proxy.dispatch.route",
    "proxy.headers.to_upstream",
    "proxy.headers.to_client",
    "proxy.headers.credential",
    "proxy.passage.seal",
]


class Defect(Exception):
    """What no line of ours expects."""


@pytest.mark.parametrize("stage", STAGES)
async def test_s03_a_defect_tells_no_key(
    tmp_path: Path,
    stage: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The keys stand in local variables all along the way down to it."""
    reached = []

    def broken(*_: Any, **__: Any) -> NoReturn:
        reached.append(stage)
        raise Defect("here")

    async with standing(tmp_path, PLAIN) as at:
        monkeypatch.setattr(stage, broken)
        async with RawClient.connect(at.proxy.port) as client:
            lines = [f"api-key: {canary.key('defect')}".encode()]
            await client.send(chat(CHAT, *lines))
            client.writer.write_eof()
            said = await client.rest()
        monkeypatch.undo()
        assert 200 == (await ask(at.client, chat(CHAT))).status  # others go on
    assert [stage] == reached[:1]
    assert set() == canary.in_bytes(said)
    assert set() == canary.in_bytes(caplog.text.encode())
    assert [] == canary.in_tree(tmp_path)
