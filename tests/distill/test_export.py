"""Export: lines appear whole, in order, and what is left out is told."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import get_args

import pytest

from distill import export
from distill.errors import Reason
from distill.formats import FORMATS
from distill.formats.openai_chat import examples
from distill.pairs import Pair
from tests.distill.pairs import ASK, completion, pair


def test_lines_come_in_order_and_the_rest_is_counted() -> None:
    out = BytesIO()
    rows = [
        pair(answer=completion({"content": "a"})),
        pair(state="incomplete"),
        pair(status=500),
        pair(answer=completion({"content": "b"})),
        pair(status=429),
    ]
    report = export.write(rows, examples, out)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert ["a", "b"] == [line["messages"][-1]["content"] for line in lines]
    assert export.Report(5, 2, {"status": 2, "incomplete": 1}) == report
    assert [
        "2 lines from 5 exchanges.",
        "Left out: 2 were answered with an error.",
        "Left out: 1 did not end as they should.",
        "OpenAI wants at least 10 lines in a training file.",
    ] == report.sentences()


def test_every_reason_has_its_sentence() -> None:
    assert set(get_args(Reason)) == set(export.SENTENCES)


def test_text_that_utf8_cannot_hold_survives() -> None:
    """A lone surrogate goes out as the escape it came in as; so does all of Unicode."""
    body = (
        b'{"messages":[{"role":"user","content":"\\ud83d \xc3\xa9 \xf0\x9f\x98\x80"}]}'
    )
    out = BytesIO()
    export.write([pair(body)], examples, out)
    assert rb'"\ud83d \u00e9 \ud83d\ude00"' in out.getvalue()
    assert out.getvalue().isascii()
    assert b"\n" not in out.getvalue()[:-1]


def test_numbers_that_json_lacks_spoil_one_line_only() -> None:
    tools = b'"tools":[{"type":"function","function":{"name":"f","parameters":{"a":1e400}}}]'
    body = b'{"messages":[{"role":"user","content":"x"}],' + tools + b"}"
    out = BytesIO()
    report = export.write([pair(body), pair()], examples, out)
    assert (1, {"unreadable": 1}) == (report.line_count, report.skipped)


def test_rows_are_written_as_they_come() -> None:
    """No row is asked for before the last one's line is out: memory stays flat."""
    out = BytesIO()

    def rows() -> Iterator[Pair]:
        for count in range(100):
            assert count == out.getvalue().count(b"\n")
            yield pair()

    report = export.write(rows(), examples, out)
    assert ["100 lines from 100 exchanges."] == report.sentences()


def test_a_file_appears_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    export.write_file([pair(ASK)], examples, path)
    assert 1 == len(path.read_text().splitlines())
    assert 0o600 == path.stat().st_mode & 0o777
    assert [path] == list(tmp_path.iterdir())


def test_an_export_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("old")

    def rows() -> Iterator[Pair]:
        yield pair()
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        export.write_file(rows(), examples, path)
    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())


def test_formats_have_names_of_their_own() -> None:
    assert ["openai-chat", "openai-dpo"] == [name for name, _ in FORMATS]
