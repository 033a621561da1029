"""Sums add up to what a plain count of the same exchanges gives."""

from collections import Counter

import pytest

from storage.errors import BadQuery
from storage.queries.language import parse
from storage.queries.sums import Sums, sums
from tests.storage.queries.conftest import Shelf, read
from tests.storage.queries.naive import matches


def summed(shelf: Shelf, text: str, *by: str) -> dict[tuple[str, ...], Sums]:
    groups: dict[tuple[str, ...], Sums] = {}
    for _, found in sums(shelf.library, parse(text), by, read=read):
        for key, part in found:
            groups.setdefault(key, Sums()).add(part)
    return groups


@pytest.mark.parametrize(
    "text", ["status>=0", "model:gpt*", "quick", "not (fox or slow)"]
)
@pytest.mark.parametrize("windows", [7, 65_536])
def test_groups_add_up(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, text: str, windows: int
) -> None:
    monkeypatch.setattr("storage.queries.sums.WINDOW_ROWS", windows)
    monkeypatch.setattr("storage.queries.sums._FOUND_ROWS", windows)
    query = parse(text)
    assert query is not None
    wanted = [one for one in shelf.exchanges if matches(query, one)]
    groups = summed(shelf, text, "model", "tag.task")
    names = Counter(
        (one.model_served or one.model_asked, one.tags.get("task", ""))
        for one in wanted
    )
    assert names == {key: part.exchanges for key, part in groups.items()}
    whole = Sums()
    for part in groups.values():
        whole.add(part)
    assert sum(one.usage.prompt_tokens or 0 for one in wanted) == whole.prompt_tokens
    assert sum(one.request_size for one in wanted) == whole.request_bytes
    assert sum(one.status >= 400 for one in wanted) == whole.failed
    answered = [one for one in wanted if one.status == 200]
    assert len(answered) == whole.answered
    silent = [one for one in answered if one.usage.prompt_tokens is None]
    assert len(silent) == whole.unmetered
    verdicts = [one.verdict for one in wanted]
    assert len(verdicts) - verdicts.count(None) == whole.judged
    assert verdicts.count("valid") == whole.valid
    assert verdicts.count("invalid") == whole.invalid
    took = Counter(
        1900 if one.ended_at == one.created_at + 1_999_999 else 2000
        for one in wanted
        if one.ended_at is not None
    )
    assert took == whole.ms


def test_what_has_no_values_to_group_by_is_refused(shelf: Shelf) -> None:
    for name in ("tokens", "id", "tag.", "nothing", "created"):
        with pytest.raises(BadQuery, match="nothing can be summed up by"):
            summed(shelf, "", name)
