"""Nothing that steers a terminal leaves in one."""

import json
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from proxy.commands.plain import block, escaped_json, fitted, line

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
        if steers and chr(code) not in "\n\t":
            assert chr(code) not in block(chr(code)), hex(code)
            assert chr(code) not in line(f"a{chr(code)}b"), hex(code)


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
