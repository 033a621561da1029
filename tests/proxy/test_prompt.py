"""Claims about previews of what was asked."""

import json

import pytest

from proxy import prompt, splice
from storage.records import Endpoint
from tests.proxy import corpus


def shown(endpoint: Endpoint, body: object) -> str:
    return prompt.preview(endpoint, splice.read(json.dumps(body).encode()).values)


def parts(*texts: str, kind: str = "text") -> list[dict[str, str]]:
    return [{"type": kind, "text": text} for text in texts]


@pytest.mark.parametrize(
    ("endpoint", "body", "expected"),
    [
        ("chat", {"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "two"}, {"role": "tool", "content": "no"}]}, "two"),
        ("chat", {"messages": [{"role": "user", "content": [*parts("look:"), {"type": "image_url", "image_url": {"url": "data:"}}, *parts("what?")]}]}, "look: what?"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, ""),
        ("chat", {"messages": [{"role": "system", "content": "s"}]}, ""),
        ("chat", {"messages": [1, {"role": 2}, {"role": "user", "content": "found"}, {"role": 1, "content": "no"}]}, "found"),
        ("chat", {"messages": [{"role": "user"}]}, ""),
        ("chat", {"messages": [{"role": "user", "content": [1, {"type": 2}, {"type": "text", "text": 3}]}]}, ""),
        ("chat", {"messages": {"role": "user"}}, ""),
        ("chat", {"messages": None}, ""),
        ("chat", {}, ""),
        ("responses", {"input": "plain"}, "plain"),
        ("responses", {"input": [{"type": "message", "role": "user", "content": parts("hi", kind="input_text")}, {"type": "function_call_output", "output": "x"}]}, "hi"),
        ("completions", {"prompt": "Once"}, "Once"),
        ("completions", {"prompt": ["a", "b"]}, "b"),
        ("completions", {"prompt": [1, 2, 3]}, ""),
        ("embeddings", {"input": ["e"]}, "e"),
    ],
)  # fmt: skip
def test_the_last_words_of_the_user_are_shown(
    endpoint: Endpoint, body: object, expected: str
) -> None:
    assert expected == shown(endpoint, body)


@pytest.mark.parametrize("letter", ["a", "é", "😀", "\n", '"', "\\", "\x00"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [1, 299, 300, 301, 5000])
def test_300_characters_are_shown_of_any_spelling(
    letter: str, *, ascii_only: bool, size: int
) -> None:
    raw = json.dumps(letter * size, ensure_ascii=ascii_only).encode()
    assert (letter * size)[:300] == prompt.text(raw)


def test_a_cut_between_two_escapes_loses_no_character() -> None:
    said = "aaaaa" + "é" * 5000
    assert said[:300] == prompt.text(json.dumps(said).encode())


def test_j06_what_is_no_text_is_replaced() -> None:
    assert prompt.text(rb'"a\ud800b"') == "a?b"
    assert prompt.text(b'"a\xffb"') == "a\ufffdb"
    assert (
        prompt.text(b'"' + rb"\ud83d\ude00" * 149 + rb"a\ud83d" + b'"')
        == "😀" * 149 + "a?"
    )


def test_j14_very_many_elements_are_not_read() -> None:
    assert (
        shown("chat", {"messages": [*[1] * 200_000, {"role": "user", "content": "x"}]})
        == ""
    )
    assert (
        shown("chat", {"messages": [*[1] * 50_000, {"role": "user", "content": "x"}]})
        == "x"
    )
    big = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": "A" * 17_000_000}],
    }
    assert shown("chat", {"messages": [big]}) == ""


def test_no_body_raises_and_every_preview_is_writable() -> None:
    endpoints: list[Endpoint] = ["chat", "responses", "completions", "embeddings"]
    for _, body in corpus.bodies():
        for endpoint in endpoints:
            prompt.preview(endpoint, splice.read(body).values).encode()
        for name in (b"messages", b"input", b"prompt"):
            for outer in (
                b'{"%b":%b}',
                b'{"%b":[%b]}',
                b'{"%b":[{"role":"user","content":%b}]}',
            ):
                values = splice.read(outer % (name, body)).values
                for endpoint in endpoints:
                    prompt.preview(endpoint, values).encode()
