"""The language: what each form means, and what is wrong with a text, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import BadQuery
from storage.queries.language import MAX_CHARACTERS, MAX_DEPTH, MAX_TERMS, parse
from storage.queries.tree import Both, Either, Except, Node, Operator, Term, Words

DAY_AT = 1_793_491_200_000_000  # 2026-11-01
DAY_US = 86_400_000_000
NOW_AT = DAY_AT + 10 * DAY_US + 5


def term(
    field: str, value: str | int, operator: Operator = "=", column: int = 1
) -> Term:
    return Term(field, operator, value, column)


def since(value: int) -> Term:
    return term("created", value, ">=")


def until(value: int) -> Term:
    return term("created", value, "<")


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_filter_asks_nothing(text: str) -> None:
    assert None is parse(text)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("model:gpt-4o", term("model", "gpt-4o")),
        ("MODEL:GPT-4o", term("model", "GPT-4o")),
        ("model=gpt-4o", term("model", "gpt-4o")),
        ("model:gpt-4o*", term("model", "gpt-4o*", "glob")),
        ("model:a[b?**c*", term("model", "a[[]b[?]*c*", "glob")),
        (r"model:a\*b", term("model", "a*b")),
        ('model:"a*b"', term("model", "a*b")),
        ('model:"a b"*', term("model", "a b*", "glob")),
        (r'model:"say \"hi\\"', term("model", 'say "hi\\')),
        ("model:a:b/c=d", term("model", "a:b/c=d")),
        ("model!=x", Except(term("model", "x"))),
        ("status:200", term("status", 200)),
        ("status>=400", term("status", 400, ">=")),
        ("status:>=400", term("status", 400, ">=")),
        ("tokens > 2k", term("tokens", 2000, ">")),
        ("tokens<=3M", term("tokens", 3_000_000, "<=")),
        ("state:Open", term("state", "open")),
        ("tag.task:triage", term("tag.task", "triage")),
        ("TAG.Task:t*", term("tag.Task", "t*", "glob")),
        ("tag.a.b-c/d:1", term("tag.a.b-c/d", "1")),
        ('tag."a b:c":d', term("tag.a b:c", "d")),
        ('tag.env:""', term("tag.env", "")),
        ('tag.env!=""', Except(term("tag.env", ""))),
        (r"id:a\*", term("id", "a*")),
        ("tag.", Words("tag.")),
        ("tool:get_weather", term("tool", "get_weather")),
        ("thread:ex_01", term("thread", "ex_01")),
        ("id:chatcmpl-1", term("id", "chatcmpl-1")),
        ("stream:yes", term("stream", 1)),
        ("kept:FALSE", term("kept", 0)),
        ("is:stream", term("stream", 1)),
        ("is:incomplete", term("state", "incomplete")),
        ("has:error", term("error", 1)),
        ("error:yes", term("error", 1)),
        ("error:/items/0/price", term("error_path", "/items/0/price")),
        ("error:/items/*/price", term("error_path", "/items/*/price", "glob")),
        ('error:""', term("error_path", "")),
        ('error_path:""', term("error_path", "")),
        ("has:error_path", term("error_path", "*", "glob")),
        ("schema:invoice@2", term("schema", "invoice@2")),
        ("has:verdict", term("verdict", "?*", "glob")),
        ("has:finish", term("finish", "?*", "glob")),
        ("has:tag.Task", term("tag.Task", "*", "glob")),
        ("has:tokens", term("tokens", 0, ">=")),
        ("is:failed", Either((term("state", "incomplete"), term("status", 400, ">=")))),
        ("after:2026-11-01", since(DAY_AT)),
        ("before:2026-11-01", until(DAY_AT)),
        ("created>2026-11-01", since(DAY_AT + DAY_US)),
        ("created>=2026-11-01", since(DAY_AT)),
        ("created<2026-11-01", until(DAY_AT)),
        ("created<=2026-11-01", until(DAY_AT + DAY_US)),
        ("created:2026-11", Both((since(DAY_AT), until(DAY_AT + 30 * DAY_US)))),
        ("after:2026-11-01T01:00+01:00", since(DAY_AT)),
        ("after:2026-10-31t23:30-00:30", since(DAY_AT)),
        ("after:2026-11-01T00:00:00.000001Z", since(DAY_AT + 1)),
        ("created:2026-11-01T00:00:00", Both((since(DAY_AT), until(DAY_AT + 10**6)))),
        ("created>2026-11-01T00:00:00.5", since(DAY_AT + 600_000)),
        ("created>2026-11-01T00:00", since(DAY_AT + 60_000_000)),
        ("created<=2026-12", until(DAY_AT + 61 * DAY_US)),
        ("created<=2025", until(DAY_AT - 304 * DAY_US)),
        ("after:today", since(DAY_AT + 10 * DAY_US)),
        ("after:yesterday", since(DAY_AT + 9 * DAY_US)),
        ("after:10d", since(DAY_AT + 5)),
        ("hello", Words("hello")),
        ("hel*", Words("hel", prefix=True)),
        ('"slow down"', Words("slow down")),
        ('"slow do"*', Words("slow do", prefix=True)),
        ('"and"', Words("and")),
        ("android", Words("android")),
        (r"what\*", Words("what*")),
        ("12:30", Words("12:30")),
        ("tag.x", Words("tag.x")),
        ("(a)", Words("a", column=2)),
        ("a b", Both((Words("a"), Words("b", column=3)))),
        ("a AND b", Both((Words("a"), Words("b", column=7)))),
        ("(a b) c", Both((Words("a", column=2), Words("b", column=4), Words("c", column=7)))),
        ("a or b", Either((Words("a"), Words("b", column=6)))),
        ("not a", Except(Words("a", column=5))),
        ("not not a", Except(Except(Words("a", column=9)))),
        ("not(a)", Except(Words("a", column=5))),
        (
            "a b or not c",
            Either((Both((Words("a"), Words("b", column=3))), Except(Words("c", column=12)))),
        ),
        (
            "a (b or c)",
            Both((Words("a"), Either((Words("b", column=4), Words("c", column=9))))),
        ),
    ],
)  # fmt: skip
def test_a_text_reads_as_its_tree(text: str, node: Node) -> None:
    assert node == parse(text, now_at=NOW_AT)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("modl:x", 1, "there is no field 'modl': did you mean 'model'?"),
        ("a (qqqq:x)", 4, "there is no field 'qqqq'. Text to search goes in quotes"),
        ("http://x", 1, "there is no field 'http'"),
        ("tag:x", 1, "write tag.KEY:VALUE"),
        ("a tag.:x", 3, "write tag.KEY:VALUE"),
        ('tag."":x', 1, "write tag.KEY:VALUE"),
        ("has:tag", 5, "write has:tag.KEY"),
        ("has:tag.", 5, "write has:tag.KEY"),
        ("id:ex_01*", 4, "no star: the start of an id will do"),
        ("thread:*", 8, "no star: the start of an id will do"),
        ("model:", 7, "a value is missing behind 'model:'"),
        ("model: x", 7, "a value is missing"),
        ("tokens > ", 10, "a value is missing behind 'tokens >'"),
        ('model:""', 7, "the value is empty: 'not has:model' finds"),
        ("model>x", 1, "'model' is no number: write model:VALUE"),
        ("after>2026-11-01", 1, "write after:VALUE"),
        ("status:abc", 8, "'abc' is no whole number"),
        ("status:4*", 8, "'4*' is no whole number"),
        ("status:9223372036854775808", 8, "no whole number"),
        ("tokens>9223372036854775807g", 8, "no whole number"),
        ("tokens>\N{ARABIC-INDIC DIGIT FIVE}", 8, "no whole number"),
        ("state:done", 7, "'done' is no state: write open, complete, incomplete"),
        ("stream:maybe", 8, "write yes or no"),
        ("after:soon", 7, "'soon' is no time"),
        ("after:2026-13", 7, "is no time"),
        ("after:2026-02-30", 7, "is no time"),
        ("created<=9999-12", 10, "is no time"),
        ("created:7d", 9, "write after:7d, or a date"),
        ("has:nothing", 5, "there is no field 'nothing'"),
        ("has:id", 5, "every exchange has one"),
        ("is:model", 4, "write open, complete, incomplete, failed, stream"),
        ("model:" + "*a" * 9, 7, "8 stars at most"),
        ("*word", 1, "'*' can only end a word"),
        ("wo*rd", 1, "'*' can only end a word"),
        ("a *", 3, "'*' has no letter or digit"),
        ("a ---", 3, "'---' has no letter or digit to search for"),
        ('""', 1, "has no letter or digit"),
        ('a "b', 3, "the quote is never closed"),
        ('tag."b', 5, "the quote is never closed"),
        ("a\\", 2, "stands before nothing"),
        ("(a", 1, "'(' is never closed"),
        ("a)", 2, "')' closes nothing"),
        ("()", 2, "a term is missing before ')'"),
        ("or a", 1, "a term is missing before 'or'"),
        ("a or", 5, "a term is missing at the end"),
        ("a and or b", 7, "a term is missing before 'or'"),
        ("not", 4, "a term is missing at the end"),
        ("a\0b", 2, "U+0000 is no text"),
        ("a\ud800", 2, "U+D800 is no text"),
        ("a\x1b[2J", 2, "U+001B is no text"),
        ("(" * 40 + "a" + ")" * 40, MAX_DEPTH + 2, "nest 32 deep at most"),
        ("not " * 40 + "a", 4 * MAX_DEPTH + 5, "nest 32 deep at most"),
        ("a " * (MAX_TERMS + 1), 2 * MAX_TERMS + 1, "64 terms at most"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_column(
    text: str, column: int, message: str
) -> None:
    with pytest.raises(BadQuery) as wrong:
        parse(text, now_at=NOW_AT)
    assert column == wrong.value.column
    assert message in wrong.value.message
    assert f"column {column}: {wrong.value.message}" == str(wrong.value)


def test_a_filter_without_end_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadQuery, match="4096 characters at most, not 1048576") as wrong:
        parse("(" * 2**20)
    assert MAX_CHARACTERS + 1 == wrong.value.column


@given(st.text(alphabet='model:tag.x><=!*\\"() andort0\n2-', max_size=40) | st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except BadQuery as wrong:
        assert 1 <= wrong.column <= len(text) + 1  # noqa: PT017  either is right
