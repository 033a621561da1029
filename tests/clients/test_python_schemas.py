"""What the official Python client sees of policies: errors once, answers as ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from openai import InternalServerError
from pydantic import BaseModel

from storage.schemas import Policy, Rule
from tests.clients.joined import gist, joined, snapshot, spelled
from tests.clients.test_python_chat import HELLO
from tests.proxy.commands.recording import out
from tests.wire.judging import RIGHT, WRONG, registered, saying

pytestmark = pytest.mark.anyio


class Invoice(BaseModel):
    """What a client asks for."""

    price: float


async def bound(folder: Path, policy: Policy) -> None:
    await registered(folder / "s.db", Rule(model="m*"), policy=policy, attempts=2)


async def test_an_enforced_answer_is_one_error_with_its_faults(
    tmp_path: Path, face: str
) -> None:
    """`x-should-retry: false` is obeyed: the client asks no second time."""
    await bound(tmp_path, "enforce")
    options: dict[str, Any] = {"max_retries": 2}
    async with joined(tmp_path, face, saying(WRONG), options=options) as here:
        with pytest.raises(InternalServerError) as told:
            await here.client.ask(
                lambda c: c.chat.completions.create(model="m", messages=HELLO)
            )
        assert 1 == len(here.upstream.requests)
    assert "answer_does_not_match_schema" == told.value.code
    body: Any = told.value.body
    assert ["/price"] == [fault["at"] for fault in body["faults"]]


async def test_a_repaired_answer_is_an_ordinary_one(tmp_path: Path, face: str) -> None:
    await bound(tmp_path, "repair")
    async with joined(tmp_path, face, saying(WRONG, RIGHT)) as here:
        answer = await here.client.ask(
            lambda c: c.chat.completions.parse(
                model="m", messages=HELLO, response_format=Invoice
            )
        )
        assert Invoice(price=7) == answer.choices[0].message.parsed
        kept = here.kept()
    assert ["invalid", "valid"] == [one.row.verdict for one in kept]
    assert gist(answer.to_dict(warnings=False)) == gist(spelled(kept[1]))
    db = tmp_path / "s.db"
    pair = json.loads(out("export", "--format", "openai-dpo", "--db", db))
    assert HELLO == pair["input"]["messages"]
    assert [WRONG, RIGHT] == [
        pair[name][0]["content"]
        for name in ("non_preferred_output", "preferred_output")
    ]


async def test_a_repaired_stream_is_an_ordinary_one(tmp_path: Path, face: str) -> None:
    await bound(tmp_path, "repair")
    heard: list[Any] = []
    async with joined(tmp_path, face, saying(WRONG, RIGHT)) as here:
        await here.client.listen(
            lambda c: c.chat.completions.create(model="m", messages=HELLO, stream=True),
            heard=heard,
        )
        kept = here.kept()
    assert RIGHT == "".join(chunk.choices[0].delta.content for chunk in heard)
    assert gist(snapshot(heard)) == gist(spelled(kept[1]))
