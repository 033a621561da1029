"""Each binding says what follows from its own schema, and from no other's."""

from pathlib import Path

import pytest

from storage.schemas import Rule
from tests.scripted_upstream import RawRequest, Script, Wire
from tests.wire.judging import (
    ALL,
    RIGHT,
    TOOL,
    WRONG,
    asked,
    asking,
    calling,
    registered,
    saying,
)
from tests.wire.scene import scene

pytestmark = pytest.mark.anyio
LOOKUP = {"type": "function", "function": {"name": "lookup", "parameters": {}}}


def answering(body: bytes) -> Script:
    async def script(_: RawRequest, wire: Wire) -> None:
        await wire.answer(body)

    return script


async def test_an_observed_tool_does_not_let_a_wrong_text_pass(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", Rule(tool="lookup"), policy="observe")
    await registered(tmp_path / "s.db", ALL, policy="enforce")
    async with scene(tmp_path, saying(WRONG)) as it:
        for body in (asking(), asking(tools=[LOOKUP])):
            assert 502 == (await asked(it, body))[0]


async def test_an_enforced_tool_refuses_no_other_tools_call(tmp_path: Path) -> None:
    """What the client's own schema finds wrong is told, and passes."""
    await registered(tmp_path / "s.db", Rule(tool="lookup"), policy="enforce")
    async with scene(tmp_path, answering(calling(WRONG))) as it:
        body = asking(tools=[LOOKUP, TOOL])
        status, headers, _ = await asked(it, body)
        assert (200, "invalid") == (status, headers["x-spiritsafe-verdict"])
    async with scene(tmp_path, answering(calling(WRONG, "lookup"))) as it:
        assert 502 == (await asked(it, body))[0]


async def test_a_tool_that_nobody_offers_holds_no_stream(tmp_path: Path) -> None:
    await registered(tmp_path / "s.db", Rule(tool="lookup"), policy="enforce")
    async with scene(tmp_path, saying(RIGHT)) as it:
        _, headers, _ = await asked(it, asking(stream=True))
        assert "x-spiritsafe-verdict" not in headers  # its head went before
        assert "x-spiritsafe-recorded" in headers
