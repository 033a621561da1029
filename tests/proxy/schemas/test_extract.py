"""The JSON inside what a model wrote: which value counts, and what is none."""

import pytest

from proxy.schemas import extract, strict
from storage.records import Json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n": 1}', {"n": 1}),
        ("42", 42),
        ('"```json"', "```json"),
        ('```json\n{"n": 1}\n```', {"n": 1}),
        ('```\n{"n": 1}```', {"n": 1}),
        ('```{"n": 1}```', {"n": 1}),
        ('```json\n{"n": 1}\n```\nor\n```json\n{"n": 2}\n```', {"n": 2}),
        ('```json\n{"n": 1}\n```\n```python\nprint()\n```', {"n": 1}),
        ('```json\n{"code": "```x```"}\n```', {"code": "```x```"}),
        ('```json\n{"n": 1}', {"n": 1}),  # never closed: the last object
        ('I think {"n": 1} or {"n": {"m": 2}}.', {"n": {"m": 2}}),
        ('A [list] of {"n": 1}', {"n": 1}),
        ('{say} {"n": 1}', {"n": 1}),
        ("The answer: [1, 2]", [1, 2]),
    ],
)
def test_the_value_that_counts(text: str, expected: Json) -> None:
    assert expected == extract.content(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        '{"n": [{"m": 1}]',
        '{"n": [{"m": 1}], }',
        '[{"m": 1}, {"m"',
        "{'n': 1}",
        '{"n": "a\nb"}',
        "```json\n```",
        '\ufeff{"n": 1',
    ],
)
def test_what_holds_no_whole_value(text: str) -> None:
    with pytest.raises(strict.NotJson):
        extract.content(text)


def test_a_text_cut_short_counts_whole_or_in_a_closed_block() -> None:
    assert {"n": 1} == extract.content('```json\n{"n": 1}\n``` So', ended=False)
    with pytest.raises(strict.NotJson):
        extract.content('First {"n": 1} then', ended=False)


def test_text_of_a_thousand_broken_brackets_holds_no_json() -> None:
    with pytest.raises(strict.NotJson):
        extract.content("{x" * 200_000 + "{}")
    assert {} == extract.content("{x" * 999 + "{}")


def test_many_values_are_read_once_each() -> None:
    assert [7] == extract.content("[1] " * 100_000 + "[7]")


@pytest.mark.parametrize("text", ['The last: {"n": 1, "n": 2}', '```\n{"a": NaN}\n```'])
def test_an_unsound_value_is_found_in_a_text(text: str) -> None:
    with pytest.raises(strict.Unsound):
        extract.content(text)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            '{"a": {"b": 1, "b": 2, "b": 3}}',
            [("/a", 'Members occur more than once: "b".')],
        ),
        (
            '[NaN, -Infinity, {"a": Infinity}]',
            [
                ("/0", "NaN is no number of JSON."),
                ("/1", "-Infinity is no number of JSON."),
                ("/2/a", "Infinity is no number of JSON."),
            ],
        ),
        (
            '{"n": [1e308, 1e999, -1E+400]}',
            [
                ("/n/1", "1e999 is larger than any number that readers know."),
                ("/n/2", "-1E+400 is larger than any number that readers know."),
            ],
        ),
        (
            '{"a": ["\\uD83D"], "\\udc00": 1}',
            [
                ("/a/0", "Half of a surrogate pair stands alone."),
                ("", "Half of a surrogate pair stands alone in a name."),
            ],
        ),
        ('{"a": "\ud800"}', [("/a", "Half of a surrogate pair stands alone.")]),
    ],
)
def test_what_is_unsound_is_told_with_its_place(
    text: str, faults: list[tuple[str, str]]
) -> None:
    with pytest.raises(strict.Unsound) as caught:
        extract.arguments(text)
    assert faults == [(fault.at, fault.message) for fault in caught.value.faults]


def test_twenty_faults_are_enough() -> None:
    with pytest.raises(strict.Unsound) as caught:
        strict.read(f"[{'NaN,' * 50}1]")
    assert 20 == len(caught.value.faults)


def test_whole_pairs_of_surrogates_are_sound() -> None:
    assert {"a": "😀"} == strict.read('{"a": "\\ud83d\\ude00"}')


@pytest.mark.parametrize("text", ["", "  \n"])
def test_no_arguments_are_an_empty_object(text: str) -> None:
    assert {} == extract.arguments(text)


def test_text_behind_arguments_is_told() -> None:
    with pytest.raises(strict.NotJson) as caught:
        extract.arguments('{"a": 1} {"a": 2}')
    assert (9, True) == (caught.value.at, caught.value.behind)
    assert "There is text behind the JSON value." == str(caught.value)
