"""Compiled schemas: kept by what they are, the least used let go, their faults."""

import sys
from hashlib import sha256

import pytest

from proxy.schemas import strict
from proxy.schemas.compile import Compiled, Compiler
from proxy.schemas.document import SchemaRefused
from proxy.schemas.weight import BOUNDLESS, LIGHT_BYTES, NOTHING
from tests.proxy.schemas.hostile import chain, nested


def compiled(compiler: Compiler, document: bytes) -> Compiled:
    return compiler.compiled(sha256(document).digest(), document)


def test_a_document_is_compiled_once_until_others_need_the_room() -> None:
    compiler = Compiler(kept=2)
    one = compiled(compiler, b'{"type": "string"}')
    compiled(compiler, b"{}")
    assert one is compiled(compiler, b'{"type": "string"}')
    compiled(compiler, b"true")  # lets `{}` go, which was used before
    assert one is compiled(compiler, b'{"type": "string"}')
    compiled(compiler, b"{}")
    compiled(compiler, b"true")
    assert one is not compiled(compiler, b'{"type": "string"}')


def test_a_schema_that_no_library_was_there_for_is_not_refused_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiler = Compiler()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "jsonschema_rs", None)
        with pytest.raises(ImportError):
            compiled(compiler, b'{"type": "string"}')
    assert compiled(compiler, b'{"type": "string"}').holds("a")


def test_what_takes_much_memory_lets_others_go() -> None:
    compiler = Compiler(kept_bytes=1024 * 1024)
    one = compiled(compiler, b'{"type": "string"}')
    compiled(compiler, b'{"pattern": "^a{100}$"}')
    assert one is compiled(compiler, b'{"type": "string"}')
    heavy = compiled(compiler, b'{"pattern": "^a{5000}$"}')
    assert heavy is compiled(compiler, b'{"pattern": "^a{5000}$"}')
    assert one is not compiled(compiler, b'{"type": "string"}')


@pytest.mark.parametrize("document", [b'{"type": 1}', b"7"])
def test_a_refused_document_stays_refused(document: bytes) -> None:
    compiler = Compiler()
    for _ in range(3):
        with pytest.raises(SchemaRefused):
            compiled(compiler, document)
    assert NOTHING == compiler.weight(sha256(document).digest(), document)


def test_a_long_document_is_never_read_for_its_weight() -> None:
    document = b" " * LIGHT_BYTES + b"{}"
    digest = sha256(document).digest()
    compiler = Compiler()
    assert BOUNDLESS == compiler.weight(digest, document)
    compiler.compiled(digest, document)
    assert 1 == compiler.weight(digest, document).nodes


def test_the_first_faults_are_told_with_both_their_places() -> None:
    schema = Compiled(
        {"$defs": {"s": {"type": "string"}}, "items": {"$ref": "#/$defs/s"}}
    )
    assert () == schema.faults(["a"])
    faults = schema.faults(list(range(50)))
    assert [f"/{n}" for n in range(20)] == [fault.at for fault in faults]
    assert {"/$defs/s/type"} == {fault.rule for fault in faults}
    assert ["/0"] == [fault.at for fault in schema.faults(list(range(50)), 1)]


def test_a_long_value_is_cut_in_messages() -> None:
    (fault,) = Compiled({"type": "integer"}).faults("x" * 1000)
    assert f'"{"x" * 299}…' == fault.message


def test_a_long_pointer_ends_at_a_place_that_holds_the_fault() -> None:
    schema = Compiled(
        {"additionalProperties": {"additionalProperties": {"type": "null"}}}
    )
    (fault,) = schema.faults({"a": {"b" * 10_000: {"c": 1}}})
    assert "/a" == fault.at
    tree = Compiled({"type": "object", "additionalProperties": {"$ref": "#"}})
    (fault,) = tree.faults(strict.read(nested(700, "1")))
    assert "/a" * 500 == fault.at


def test_a_format_is_a_note_and_no_rule() -> None:
    assert () == Compiled({"format": "email"}).faults("no address")


def test_levels_that_would_end_the_process_are_refused() -> None:
    tree = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    deep = Compiled(chain(60, tree))
    assert () == deep.faults(strict.read(nested(20)))
    with pytest.raises(RecursionError):
        deep.faults(strict.read(nested(900)))
