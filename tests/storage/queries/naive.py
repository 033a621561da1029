"""Filters without the program: trees made up, spelled as text, and judged one by one."""

import operator
import re
from collections.abc import Callable

from hypothesis import strategies as st

from storage.queries.tree import Both, Either, Except, Node, Term, Words
from storage.records import Exchange

TEXTS = ["gpt-4o", "gpt-4o-mini", "Ünïcode*", "a[b]?c", 'it\'s "x" \\ or 1=1 --', "and"]
SENTENCES = ["the quick brown fox", "Slow down, please", "quick: slow", "", "brown-fox"]
TOOLS = ["get_weather", "get_time"]
NUMBERS = [0, 1, 12, 200, 404, 429, 1999, 2000, 2001]
KEYS = ["task", "a.b", 'odd "key"\\:']

# What each field of the language reads, told a second time.
READ: dict[str, Callable[[Exchange], list[str | int | None]]] = {
    "model": lambda one: [one.model_asked, one.model_served],
    "model_asked": lambda one: [one.model_asked],
    "finish": lambda one: [one.finish_reason],
    "verdict": lambda one: [one.verdict],
    "upstream": lambda one: [one.upstream],
    "status": lambda one: [one.status],
    "prompt_tokens": lambda one: [one.usage.prompt_tokens],
    "tokens": lambda one: [
        None
        if one.usage.prompt_tokens is one.usage.completion_tokens is None
        else (one.usage.prompt_tokens or 0) + (one.usage.completion_tokens or 0)
    ],
    "ms": lambda one: [
        None if one.ended_at is None else (one.ended_at - one.created_at) // 1000
    ],
    "created": lambda one: [one.created_at],
    "stream": lambda one: [int(one.streamed)],
    "error": lambda one: [int(one.error is not None)],
    "state": lambda one: [one.state],
    "id": lambda one: [one.id],
}
TEXT_FIELDS = ["model", "model_asked", "finish", "verdict", "upstream"]
NUMBER_FIELDS = ["status", "prompt_tokens", "tokens", "ms"]
COMPARE = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def tools_of(one: Exchange) -> list[str]:
    """Return the tools that an exchange calls, as its previews tell."""
    return re.findall(r"get_\w+", one.answer_preview)


def words_of(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def matches(node: Node, one: Exchange) -> bool:
    """Return whether an exchange is what a tree asks for."""
    if isinstance(node, Both):
        return all(matches(part, one) for part in node.nodes)
    if isinstance(node, Either):
        return any(matches(part, one) for part in node.nodes)
    if isinstance(node, Except):
        return not matches(node.node, one)
    if isinstance(node, Words):
        return _says(node, words_of(f"{one.prompt_preview} . {one.answer_preview}"))
    return any(_compared(node, value) for value in _values(node.field, one))


def _values(field: str, one: Exchange) -> list[str | int | None]:
    if field.startswith("tag."):
        return [one.tags.get(field.removeprefix("tag."))]
    return [*tools_of(one)] if field == "tool" else READ[field](one)


def _compared(term: Term, value: str | int | None) -> bool:
    if value is None:
        return False
    if term.field == "id":
        return str(value).startswith(str(term.value))
    if term.operator != "glob":
        return bool(COMPARE[term.operator](value, term.value))
    pieces = re.split(r"(\[.\]|\*)", str(term.value))
    wanted = "".join(
        ".*" if piece == "*" else re.escape(piece[1] if piece[:1] == "[" else piece)
        for piece in pieces
    )
    return re.fullmatch(wanted, str(value), re.DOTALL) is not None


def _says(words: Words, said: list[str]) -> bool:
    *first, last = words_of(words.text)
    return any(
        said[at : at + len(first)] == first
        and said[at + len(first) : at + len(first) + 1] != []
        and (
            said[at + len(first)].startswith(last)
            if words.prefix
            else said[at + len(first)] == last
        )
        for at in range(len(said))
    )


def quoted(text: str) -> str:
    """Return a text as a quoted value of the language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def spelled(node: Node) -> str:
    """Return a tree as text of the language."""
    if isinstance(node, Both):
        return " ".join(f"({spelled(part)})" for part in node.nodes)
    if isinstance(node, Either):
        return " or ".join(f"({spelled(part)})" for part in node.nodes)
    if isinstance(node, Except):
        return f"not ({spelled(node.node)})"
    if isinstance(node, Words):
        return quoted(node.text) + "*" * node.prefix
    name = node.field
    if name.startswith("tag."):
        name = "tag." + quoted(name.removeprefix("tag."))
    if node.operator == "glob":
        pieces = re.split(r"(\[.\]|\*)", str(node.value))
        return f"{name}:" + "".join(
            piece if piece == "*" else quoted(piece[1] if piece[:1] == "[" else piece)
            for piece in pieces
            if piece
        )
    sign = ":" if node.operator == "=" else node.operator
    value = node.value if isinstance(node.value, int) else quoted(node.value)
    if name in {"stream", "error"}:
        value = "yes" if node.value else "no"
    return f"{name}{sign}{value}"


def _glob(text: str, at: int, end: int) -> str:
    """Return a pattern that keeps the head and the tail of a text."""
    spelled_text = [f"[{c}]" if c in "*?[" else c for c in text]
    return "".join(spelled_text[:at]) + "*" + "".join(spelled_text[len(text) - end :])


_tags = st.sampled_from([f"tag.{key}" for key in KEYS])
_names = st.sampled_from(TEXT_FIELDS) | _tags
_texts = st.sampled_from(TEXTS)
_words = st.sampled_from(
    [word for sentence in SENTENCES for word in re.findall("[A-Za-z]+", sentence)]
)
_leaves: st.SearchStrategy[Node] = st.one_of(
    st.builds(Term, _names, st.just("="), _texts),
    st.builds(Term, _tags, st.just("="), st.just("")),
    st.builds(
        Term,
        _names,
        st.just("glob"),
        st.builds(_glob, _texts, st.integers(0, 3), st.integers(0, 2)),
    ),
    st.builds(
        Term,
        st.sampled_from(NUMBER_FIELDS),
        st.sampled_from([">", ">=", "<", "<=", "="]),
        st.sampled_from(NUMBERS),
    ),
    st.builds(
        Term, st.sampled_from(["stream", "error"]), st.just("="), st.integers(0, 1)
    ),
    st.builds(Term, st.just("tool"), st.just("="), st.sampled_from(TOOLS)),
    st.builds(Term, st.just("tool"), st.just("glob"), st.just("*time")),
    st.builds(
        Term, st.just("state"), st.just("="), st.sampled_from(["complete", "open"])
    ),
    st.builds(Words, _words, st.booleans()),
    st.builds(
        Words, st.builds(lambda one, two: f"{one} {two}", _words, _words), st.booleans()
    ),
)
trees: st.SearchStrategy[Node] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(Except, inner),
        st.builds(Both, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Either, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)
