"""The predicate finds what a plain reading of the filter finds, whatever it says."""

import msgspec
import pytest
from hypothesis import given, settings

from storage.queries.language import parse
from storage.queries.pages import everything
from storage.queries.tree import Both, Either, Except, Node, Term
from tests.storage.queries.conftest import Shelf, read
from tests.storage.queries.naive import matches, spelled, trees


def plain(node: Node) -> Node:
    """Return a tree without columns, its conjunctions flat."""
    if isinstance(node, Except):
        return Except(plain(node.node))
    if isinstance(node, Both | Either):
        kind = type(node)
        parts: list[Node] = []
        for part in map(plain, node.nodes):
            parts += part.nodes if isinstance(part, kind) else [part]
        return kind(tuple(parts))
    return msgspec.structs.replace(node, column=1)


def found(shelf: Shelf, text: str) -> list[str]:
    rows = everything(shelf.library, parse(text), read=read)
    return [row.id for row in rows]


@given(tree=trees)
@settings(max_examples=100)
def test_text_tree_and_rows_agree(shelf: Shelf, tree: Node) -> None:
    text = spelled(tree)
    again = parse(text)
    assert again is not None
    assert plain(tree) == plain(again)
    wanted = [one.id for one in shelf.exchanges if matches(tree, one)]
    assert wanted == found(shelf, text)


def test_an_id_is_named_whole_by_its_start_or_by_its_completion(shelf: Shelf) -> None:
    one = shelf.exchanges[7]
    assert [one.id] == found(shelf, f"id:{one.id}")
    assert [one.id] == found(shelf, f"id:{one.completion_id}")
    assert one.id in found(shelf, f"id:{one.id[:-1]}")
    assert [one.id] == found(shelf, f"thread:{one.id}")
    assert [] == found(shelf, 'id:"ex_*" or id:%')


def test_a_field_that_no_language_has_is_a_mistake_of_ours(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match="no field is called nothing"):
        list(everything(shelf.library, Term("nothing", "=", "x")))


def test_every_kind_of_row_is_there(shelf: Shelf) -> None:
    for text in ("has:error", "not has:finish", "tokens>2k", "tool:get_time", "fo*"):
        assert 0 < len(found(shelf, text)) < len(shelf.exchanges), text
