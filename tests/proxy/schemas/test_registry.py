"""Which registered schemas apply, in which order, and what follows."""

from hashlib import sha256
from typing import Any

import msgspec
import pytest

from proxy.schemas.cases import Bound, Unknown
from proxy.schemas.registry import Ask, Registry
from storage.schemas import Binding, Policy, Rule, Version

DOCUMENTS = {"invoice@1": b"{}", "invoice@2": b"true", "order@1": b'{"a": 1}'}


def version(ref: str) -> Version:
    """Return a version by its ref."""
    name, _, number = ref.partition("@")
    document = DOCUMENTS[ref]
    return Version(
        name=name,
        version=int(number),
        digest=sha256(document).digest(),
        document=document,
        source="api",
        created_at=0,
    )


def bound(ref: str, why: str, tool: str = "") -> Bound:
    """Return a registered schema that applies."""
    return Bound(ref, version(ref).digest, DOCUMENTS[ref], why, tool)


def binding(
    number: int, schema: str, policy: Policy = "observe", **rule: Any
) -> Binding:
    """Return a binding of one rule."""
    return Binding(id=number, schema=schema, rule=Rule(**rule), policy=policy)


def registry(*bindings: Binding) -> Registry:
    """Return a registry of all documents, given in no order."""
    return Registry(map(version, sorted(DOCUMENTS, reverse=True)), bindings)


ASK = Ask(
    tags={"task": "bills", "team": "x"},
    model="gpt-4o-mini",
    upstream="default",
    endpoint="chat",
    format_name="Invoice",
    prompt="00112233445566ff",
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("invoice", "invoice@2"),
        ("invoice@1", "invoice@1"),
        ("invoice@3", None),
        ("bill", None),
        ("", None),
    ],
)
def test_a_name_means_its_newest_version(name: str, found: str | None) -> None:
    it = registry().find(name)
    assert found == (it and it.ref)


def test_versions_and_names_are_listed() -> None:
    known = registry()
    assert ["invoice@2", "order@1"] == [its.ref for its in known.newest()]
    assert ["invoice@1", "invoice@2"] == [its.ref for its in known.history("invoice")]
    assert [] == known.history("bill")


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({}, True),
        ({"model": "gpt-4o*"}, True),
        ({"model": "GPT-4o*"}, False),
        ({"model": "gpt-4o"}, False),
        ({"model": "gpt-4o-min?"}, True),
        ({"tags": {"task": "bills"}}, True),
        ({"tags": {"task": "bills", "team": "y"}}, False),
        ({"tags": {"absent": ""}}, False),
        ({"tool": "save"}, True),
        ({"format_name": "Invoice"}, True),
        ({"format_name": "invoice"}, False),
        ({"prompt": "00112233445566ff"}, True),
        ({"prompt": "0011"}, False),
        ({"upstream": "default", "endpoint": "chat"}, True),
        ({"upstream": "together"}, False),
        ({"endpoint": "responses"}, False),
        ({"model": "gpt-*", "endpoint": "responses"}, False),
    ],
)
def test_a_rule_fits_where_all_that_it_names_is_there(
    rule: dict[str, Any], *, fits: bool
) -> None:
    known = registry(binding(7, "order", **rule))
    expected = (bound("order@1", "binding:7", rule.get("tool", "")),) if fits else ()
    assert expected == known.applying(ASK)


def test_header_comes_before_tag_and_tag_before_bindings_in_their_order() -> None:
    known = registry(binding(9, "order"), binding(2, "gone@4", tool="t"))
    ask = msgspec.structs.replace(ASK, header="invoice@1", tags={"schema": "invoice"})
    assert (
        bound("invoice@1", "header"),
        bound("invoice@2", "tag"),
        bound("order@1", "binding:9"),
        Unknown("gone@4", "binding:2", "t"),
    ) == known.applying(ask)


def test_an_unknown_name_is_no_error() -> None:
    ask = Ask(header="nothing", tags={"schema": "a b"})
    expected = (Unknown("nothing", "header"), Unknown("a b", "tag"))
    assert expected == Registry().applying(ask)


def test_nothing_applies_where_nothing_is_registered() -> None:
    assert () == Registry().applying(ASK)
    assert {} == Registry().follows(ASK)


def test_each_binding_that_fits_says_what_follows_from_its_own_schema() -> None:
    known = registry(
        binding(1, "order", "repair", model="o1*"),
        binding(2, "order", "header"),
        binding(3, "invoice", "enforce"),
    )
    _, second, third = known.bindings
    assert {"binding:2": second, "binding:3": third} == known.follows(ASK)


@pytest.mark.parametrize(
    ("header", "follows"),
    [
        ("order", None),  # bound nowhere
        ("nothing", None),
        ("invoice@1", 2),  # `invoice` is every version
        ("invoice", 1),  # `invoice@2` is the one that `invoice` means
        ("invoice@2", 1),
    ],
)
def test_a_schema_of_the_request_takes_the_policy_of_its_own_binding(
    header: str, follows: int | None
) -> None:
    known = registry(
        binding(0, "invoice", "repair", model="o1*"),
        binding(1, "invoice@2", "enforce"),
        binding(2, "invoice", "header"),
    )
    for ask, why in (
        (msgspec.structs.replace(ASK, header=header), "header"),
        (msgspec.structs.replace(ASK, tags={"schema": header}), "tag"),
    ):
        its = known.follows(ask).get(why)
        assert follows == (its and its.id)


def test_only_rules_about_bodies_have_bodies_read() -> None:
    assert not registry(binding(1, "order", model="m", tags={"a": "b"})).reads_bodies
    assert registry(binding(1, "order", format_name="Invoice")).reads_bodies
    assert registry(binding(1, "order", prompt="00")).reads_bodies
