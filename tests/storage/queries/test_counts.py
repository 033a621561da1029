"""Counts are those of a plain loop over the same exchanges."""

from collections import Counter

import pytest

from storage.errors import BadQuery
from storage.queries import counts
from storage.queries.counts import count
from storage.queries.language import parse
from tests.storage.queries.conftest import COUNT, NEW_TAGS, Shelf, read


def told(
    shelf: Shelf, field: str, *, q: str = "", projects: frozenset[str] | None = None
) -> dict[str, int]:
    found = count(
        shelf.library, parse(q), [field], projects=projects, read=read, limit=99
    )
    assert found.complete
    return dict(found.fields[field])


def test_values_are_counted(shelf: Shelf) -> None:
    mine = frozenset({"mine"})
    own = [one for one in shelf.exchanges if one.project == "mine"]
    assert told(shelf, "status", projects=mine) == Counter(
        str(one.status) for one in own
    )
    assert told(shelf, "model") == Counter(
        one.model_served or one.model_asked for one in shelf.exchanges
    )
    assert told(shelf, "finish", q="status:404") == Counter(
        one.finish_reason
        for one in shelf.exchanges
        if one.status == 404 and one.finish_reason
    )
    (key,) = NEW_TAGS
    asked = dict.fromkeys((f"tag.{key}", "status"))
    both = count(shelf.library, None, [*asked], projects=None)
    assert COUNT == both.exchanges == sum(n for _, n in both.fields["status"])
    assert (
        []
        == count(shelf.library, None, ["tag.never"], projects=None).fields["tag.never"]
    )


def test_the_most_frequent_come_first_and_no_more_than_asked_for(shelf: Shelf) -> None:
    found = count(shelf.library, None, ["model_asked"], projects=None, limit=2)
    numbers = [number for _, number in found.fields["model_asked"]]
    assert 2 == len(numbers)
    assert sorted(numbers, reverse=True) == numbers


def test_where_time_runs_out_it_says_so(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "_WINDOW_ROWS", 10)
    found = count(shelf.library, None, ["status"], projects=None, deadline_s=0)
    assert (0, False) == (found.exchanges, found.complete)
    found = count(shelf.library, None, ["status"], projects=None)
    assert (COUNT, True) == (found.exchanges, found.complete)


@pytest.mark.parametrize("field", ["", "id", "tokens", "tag", "tag.", "words", "a'b"])
def test_what_has_no_values_to_count_is_told(shelf: Shelf, field: str) -> None:
    with pytest.raises(BadQuery, match="no values"):
        count(shelf.library, None, [field], projects=None)
