"""What applies is known before the request is sent, and where nothing does, at once."""

from typing import Any

import msgspec
import pytest

from proxy.schemas.applying import Judging, carried, judging, may_hold
from proxy.schemas.registry import Ask, Registry
from storage.records import Judgement
from storage.schemas import Binding, Policy, Rule, Version

INVOICE = Version(
    name="invoice",
    version=1,
    digest=b"d",
    document=b"{}",
    source="file",
    created_at=0,
)


def members(**values: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(msgspec.json.encode(it)) for name, it in values.items()}


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (members(model="m", messages=[]), None),
        (members(response_format={"type": "json_object"}), None),
        (members(response_format={"type": "json_object", "schema": {}}), Judging()),
        (members(text={"format": {"type": "json_schema", "schema": {}}}), Judging()),
        (members(text={"verbosity": "low"}), None),
        (members(tools=[], tool_choice="auto"), Judging(calls_only=True)),
        (members(tools=[], tool_choice={"type": "function"}), Judging()),
        (members(tools=[], tool_choice="required"), Judging()),
        (members(functions=[]), Judging(calls_only=True)),
        (members(functions=[], function_call={"name": "f"}), Judging()),
    ],
)
def test_what_a_body_may_carry(
    values: dict[str, msgspec.Raw], found: Judging | None
) -> None:
    assert found == carried(values)


def test_an_answer_without_calls_is_not_read_for_the_sake_of_tools() -> None:
    calls = Judging(calls_only=True)
    assert not may_hold(calls, b'{"content":"x"}')
    assert may_hold(calls, b'{"tool_calls":[]}')
    assert may_hold(calls, b'{"type":"function_call"}')
    assert may_hold(Judging(), b"")


def wrong(why: str) -> Judgement:
    return Judgement(
        slot="/s", schema="invoice@1", digest=b"d", why=why, verdict="invalid"
    )


@pytest.mark.parametrize(
    ("policy", "waits", "streams_wait", "refuses"),
    [
        ("observe", False, False, False),
        ("header", True, False, False),
        ("enforce", True, True, True),
        ("repair", True, True, True),
    ],
)
def test_what_waits_for_its_verdict(
    policy: Policy, *, waits: bool, streams_wait: bool, refuses: bool
) -> None:
    binding = Binding(
        id=7, schema="invoice", rule=Rule(model="m"), policy=policy, attempts=3
    )
    registry = Registry([INVOICE], [binding])
    found = judging(Ask(model="m"), {}, registry=registry)
    assert found is not None
    assert ["binding:7"] == [one.why for one in found.bound]
    assert (waits, streams_wait) == (found.waits(sse=False), found.waits(sse=True))
    ours, theirs = wrong("binding:7"), wrong("response_format")
    refused = found.refused([theirs, ours])
    assert ((ours,) if refuses else ()) == refused
    asks = [attempt for attempt in range(1, 9) if found.mends(refused, attempt)]
    assert ([1, 2, 3] if policy == "repair" else []) == asks
    assert None is judging(Ask(model="other"), {}, registry=registry)


def test_a_rule_of_the_prompt_reads_the_body() -> None:
    rule = Rule(format_name="form")
    registry = Registry([INVOICE], [Binding(id=1, schema="invoice", rule=rule)])
    values = members(response_format={"json_schema": {"name": "form"}})
    assert judging(Ask(), values, registry=registry) is not None
    assert judging(Ask(), members(), registry=registry) is None
