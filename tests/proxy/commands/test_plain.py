"""Nothing that steers a terminal leaves in one."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from proxy.commands.plain import block, escaped_json, fitted, line

SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
JOINERS = "\u200c\u200d"
ANY = st.text(st.characters(exclude_categories=[]))  # surrogates too


@given(ANY)
def test_s41_no_control_is_left(text: str) -> None:
    assert not {unicodedata.category(c) for c in line(text)} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {c for c in block(text) if unicodedata.category(c) == "Cc"} - set("\n\t")


def test_s41_every_control_of_unicode_is_spelled() -> None:
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        turns = unicodedata.bidirectional(chr(code))
        steers = category in {"Cc", "Cs", "Zl", "Zp"} or turns in {
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        }  # fmt: skip
        hides = category == "Cf" and chr(code) not in SEEN + JOINERS
        if (steers or hides) and chr(code) not in "\n\t":
            assert chr(code) not in block(chr(code)), hex(code)
            assert chr(code) not in line(f"a{chr(code)}b"), hex(code)


@pytest.mark.parametrize(
    "hidden", ["\u200b", "\ufeff", "\u2060", "\u3164", "\U000e0041"]
)
def test_s41_text_that_takes_no_room_is_spelled(hidden: str) -> None:
    spelled = hidden.encode("unicode_escape").decode()
    assert f"pay{spelled}ment" == line(f"pay{hidden}ment") == block(f"pay{hidden}ment")
    assert f"pay{hidden}ment" == json.loads(escaped_json(f'"pay{hidden}ment"'))


def test_s41_joiners_stay_where_they_join() -> None:
    for text in ("\u0645\u06cc\u200c\u062e\u0648", "\U0001f469\u200d\U0001f4bb"):
        assert text == line(text)
    assert r"a\u200db" == line("a\u200db")
    assert r"\u200c\u200c\u200d" == line("\u200c\u200c\u200d")


@given(ANY)
def test_escaped_json_says_the_same(text: str) -> None:
    escaped = escaped_json(json.dumps(text, ensure_ascii=False))
    assert text == json.loads(escaped)
    assert "\x9b" not in escaped


@given(ANY, st.integers(min_value=0, max_value=40))
def test_what_is_fitted_fits(text: str, width: int) -> None:
    assert cell_len(fitted(line(text), width)) <= width


def test_a_cut_is_marked() -> None:
    assert ("hello", "hel…", "日…") == (
        fitted("hello", 5), fitted("hello", 4), fitted("日本", 3),
    )  # fmt: skip
