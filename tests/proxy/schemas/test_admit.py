"""What may be registered: within bounds, and compiled where it can be stopped."""

import json
import resource
from typing import Any

import pytest

from proxy.schemas.admit import admit
from proxy.schemas.document import SchemaRefused

pytestmark = pytest.mark.anyio

LARGE = {"properties": {f"a{n}": {"type": "string"} for n in range(1500)}}
HEAVY = {"allOf": [{"pattern": "(a{2}){50}{90}" + str(n)} for n in range(2400)]}


def text(schema: Any) -> bytes:
    """Return a document."""
    return json.dumps(schema).encode()


async def refused(document: bytes, name: str = "invoice") -> SchemaRefused:
    """Return why a document is refused."""
    with pytest.raises(SchemaRefused) as raised:
        await admit(name, document)
    return raised.value


async def test_a_schema_is_admitted_large_or_small() -> None:
    for schema in (True, {"type": "object"}, {"pattern": "^a{1,5000}$"}, LARGE):
        await admit("invoice", text(schema))


@pytest.mark.parametrize("more", [{}, LARGE], ids=["inline", "aside"])
async def test_a_broken_one_is_refused_with_the_path_of_the_fault(
    more: dict[str, Any],
) -> None:
    for schema, path in (
        ({"additionalProperties": {"type": "objekt"}}, "/additionalProperties/type"),
        ({"not": {"$ref": "https://a/b"}}, "/not/$ref"),
        ({"not": {"pattern": "(?=a)"}}, "/not/pattern"),
    ):
        assert path == (await refused(text({**schema, **more}))).path


@pytest.mark.parametrize("name", ["", "-a", "a b", "a@1", "a/b", "é", "a\n", "a" * 65])
async def test_a_name_is_one_that_a_header_takes(name: str) -> None:
    assert "is no name" in (await refused(b"{}", name)).message


async def test_s45_what_takes_too_long_to_compile_is_refused() -> None:
    """In a process of its own: this one neither waits for it nor pays its memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "to compile" in (await refused(text(HEAVY))).message
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100 * 1024  # KiB; compiling it here takes 900 MiB


async def test_only_what_may_be_heavy_has_a_process_of_its_own() -> None:
    def spent_s() -> float:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime

    before = spent_s()
    await admit("invoice", text({"type": "object"}))
    assert before == spent_s()
    await admit("invoice", text({"allOf": HEAVY["allOf"][:20]}))
    assert before < spent_s()


async def test_s44_what_is_too_large_is_refused() -> None:
    assert "256 KiB" in (await refused(b'"' + b"a" * 300_000 + b'"')).message
    many = text({"enum": list(range(6000))})
    assert "5000" in (await refused(many)).message
    deep = b'{"not":' * 100 + b"{}" + b"}" * 100
    assert (await refused(deep)).path.startswith("/not/not")
