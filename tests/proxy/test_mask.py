"""Masking: what rules find is not kept, whatever form it comes in; the rest stays."""

import asyncio
import json
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from proxy.mask import Masker, Rule
from proxy.settings import RedactSettings
from storage.reading import open_library
from storage.records import Edit, Fault, Judgement, Progress
from storage.verify import Finding, verify
from tests.living import RawClient, living_proxy
from tests.scripted_upstream import (
    DONE,
    RawRequest,
    Wire,
    completion,
    delta,
    scripted_upstream,
)
from tests.storage.make import chat, exchange

CARD = Rule("card", pattern=r"\b\d{4}-\d{4}\b")
WHO = Rule("who", path="$.metadata.patient")
CARDS = Masker([CARD])


def test_matches_are_masked_and_all_else_stays() -> None:
    body = (
        b'{ "model":"m",  "messages":[{"content":"pay 1234-5678, \\u00e9"}], "n":1.0 }'
    )
    made = CARDS.exchange(exchange(body, text="done"))
    assert made.request == (
        b'{ "model":"m",  "messages":[{"content":"pay *********, \\u00e9"}], "n":1.0 }'
    )
    assert made.request_sha256 == sha256(made.request).digest()
    assert (made.sent_sha256, made.prompt_preview) == (b"", "")
    assert made.flags[-1] == "redacted=card"
    assert b"done" in made.answer


def test_what_no_rule_hits_is_the_same_object() -> None:
    made = exchange()
    assert CARDS.exchange(made) is made


def test_answers_errors_tags_and_edits_are_masked_too() -> None:
    said = '"1234-5678"'
    made = CARDS.exchange(
        exchange(
            text="1234-5678",
            error=said.encode(),
            tags={"card": "1234-5678"},
            edits=(Edit("body", "metadata", '{"card":"1234-5678"}'),),
        )
    )
    assert b"1234" not in made.answer + (made.error or b"")
    assert made.tags == {"card": "*********"}
    assert made.edits[0].value == '{"card":"*********"}'
    assert (made.answer_preview, made.answer_keys, made.sent_sha256) == ("", (), b"")
    assert made.answer_sha256 == sha256(made.answer).digest()


def test_of_a_masked_answer_no_fault_quotes_a_word() -> None:
    told: dict[str, Any] = {"verdict": "invalid", "error_path": "/1234-5678"}
    fault = Fault("/1234-5678", "/type", "'Ann' is not 1234-5678")
    one = Judgement(
        slot="/choices/0/message/content",
        schema="invoice@2",
        digest=b"d",
        why="tag",
        verdict="invalid",
        faults=(fault,),
    )
    made = CARDS.exchange(exchange(text="Ann", judgements=(one,), **told))
    assert made.error_path == "/*********"
    assert made.judgements[0].faults == (Fault("/*********", "/type", ""),)
    assert (made.schema, made.verdict) == (None, "invalid")
    plain = Masker([WHO]).exchange(exchange(text="Ann", judgements=(one,), **told))
    assert plain.judgements == (one,)


def test_a_path_masks_all_text_below_it() -> None:
    body = chat(
        ("user", "hi"), metadata={"patient": {"name": "Ann", "age": 7}, "x": "y"}
    )
    made = Masker([WHO]).exchange(exchange(body))
    told = json.loads(made.request)
    assert told["metadata"] == {"patient": {"name": "***", "age": 0}, "x": "y"}
    assert made.flags[-1] == "redacted=who"
    every = Masker([Rule("a", path="messages[*].content"), Rule("b", path="$.x[0]")])
    told = json.loads(
        every.exchange(exchange(chat(("user", "hi"), x=["a", "b"]))).request
    )
    assert (told["messages"][0]["content"], told["x"]) == ("**", ["*", "b"])


def test_what_stands_in_a_row_beside_the_body_is_masked_as_there() -> None:
    """Tags, the model and what was added upstream are parts of the request too."""
    edit = Edit(where="body", member="metadata", value='{"patient":"Ann","x":"y"}')
    made = Masker([WHO, CARD, Rule("m", path="$.model")]).exchange(
        exchange(
            chat(("user", "hi"), metadata={"patient": "Ann"}),
            tags={"patient": "Ann", "x": "y"},
            edits=(edit,),
            target="/v1/chat/completions?note=1234-5678",
            model_asked="m",
            model_served="mini",
        )
    )
    assert made.tags == {"patient": "***", "x": "y"}
    assert json.loads(made.edits[0].value) == {"patient": "***", "x": "y"}
    assert made.target == "/v1/chat/completions?note=*********"
    assert (made.model_asked, made.model_served) == ("*", "****")


def streamed(*said: tuple[int, str]) -> bytes:
    events = [
        {"created": 1234, "choices": [{"index": at, "delta": {"content": text}}]}
        for at, text in said
    ]
    lines = [f"data: {json.dumps(event)}\r\n\r\n" for event in events]
    return ": ping\n\n".join([*lines, "data: [DONE]\n\n"]).encode()


def contents(answer: bytes, choice: int) -> str:
    lines = [line[6:] for line in answer.decode().splitlines() if line[:7] == "data: {"]
    choices = [json.loads(line)["choices"][0] for line in lines]
    return "".join(c["delta"]["content"] for c in choices if c["index"] == choice)


def test_a_match_is_found_across_the_events_of_a_stream() -> None:
    answer = streamed((0, "no 12"), (1, "4"), (0, "34-"), (1, "x"), (0, "5678!"))
    made = CARDS.exchange(exchange(answer=answer, answer_size=len(answer)))
    assert contents(made.answer, 0) == "no *********!"
    assert contents(made.answer, 1) == "4x"
    assert made.answer.count(b'"created": 1234') == 5
    assert made.answer.endswith(b"data: [DONE]\n\n")
    assert len(made.answer) == len(answer) == made.answer_size


def test_lines_of_a_stream_that_are_no_json_are_masked_too() -> None:
    answer = b": 1234-5678\n\ndata: what 1234-5678\n\n" + streamed((0, "hi"))
    made = CARDS.exchange(exchange(answer=answer))
    assert made.answer == answer.replace(b"1234-5678", b"*********")


@given(st.text(), st.lists(st.integers(0, 40)))
def test_wherever_a_stream_is_cut_nothing_of_a_match_is_kept(
    around: str, cuts: list[int]
) -> None:
    said = f"{around} 1234-5678 {around}"
    places = sorted({min(cut, len(said)) for cut in cuts} | {0, len(said)})
    pairs = pairwise(places)
    answer = streamed(*((0, said[begin:end]) for begin, end in pairs))
    made = CARDS.exchange(exchange(answer=answer))
    assert contents(made.answer, 0) == f"{around} ********* {around}"


@given(st.recursive(st.none() | st.floats(allow_nan=False) | st.text() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_json_stays_json(document: Any) -> None:
    body = json.dumps({"said": document, "card": "1234-5678"}).encode()
    made = CARDS.exchange(exchange(body))
    assert json.loads(made.request) == {"said": document, "card": "*" * 9}


def test_a_body_that_is_no_text_is_not_kept() -> None:
    made = CARDS.exchange(exchange(answer=b"\x1f\x8b\xff"))
    assert (made.answer, made.flags[-1]) == (b"", "redacted=unreadable")
    plain = CARDS.exchange(exchange(b"not JSON: 1234-5678 {"))
    assert plain.request == b"not JSON: ********* {"
    odd = CARDS.exchange(exchange(b'{"a":"\\ud800 1234-5678"}'))
    assert odd.request == b'{"a": "\\ud800 *********"}'.replace(b": ", b":", 1)


def test_no_part_of_an_answer_is_noted() -> None:
    told = CARDS.progress(Progress(exchange=exchange(), part=b"12", at_byte=7))
    assert (told.part, told.at_byte) == (b"", 0)


def test_a_pattern_takes_no_longer_than_its_text() -> None:
    """RE2 has no backtracking: this takes `re` longer than the universe."""
    slow = Masker([Rule("slow", pattern="(a+)+$")])
    made = exchange(chat(("user", "a" * 5000 + "b")))
    assert slow.exchange(made) is made


def test_many_matches_take_no_longer_than_their_text() -> None:
    """A copy of the text for each match would take the suite's time-out."""
    zeros = Masker([Rule("zero", pattern="0")])
    body = ("\N{SNOWMAN}\N{GRINNING FACE}" + "aaaaaaaaa0" * 400_000).encode()
    made = zeros.exchange(exchange(body))
    assert made.request == body.replace(b"0", b"*")


@pytest.mark.parametrize(
    "space", ["", " ", " " * 65, "\n" * 99], ids=["none", "one", "65", "lines"]
)
def test_a_member_is_known_by_its_name_however_far_its_colon(space: str) -> None:
    body = f'{{"metadata"{space}:{{"patient"{space}:"Ann","x"{space}:"y"}}}}'.encode()
    made = Masker([WHO]).exchange(exchange(body))
    assert json.loads(made.request) == {"metadata": {"patient": "***", "x": "y"}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": "("}, {"pattern": r"(?=x)"}, {"pattern": r"(.)\1"}, {"path": "a..b"},
        {"path": "$[x]"}, {"path": "$"}, {}, {"pattern": "a", "path": "b"},
        {"pattern": "a", "name": "a b"}, {"pattern": "a", "other": 1},
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        RedactSettings(**({"name": "rule"} | wrong))


def test_traffic_passes_as_it_is_and_no_file_holds_a_match(tmp_path: Path) -> None:
    secret = "1234-5678"

    async def script(request: RawRequest, wire: Wire) -> None:
        assert secret in str(request.json)
        if request.json.get("stream"):
            await wire.events(delta("card 1234"), delta("-5678", "stop"), DONE)
        else:
            await wire.answer(completion(f"your card is {secret}"))

    async def run() -> None:
        rules = [{"name": "card", "pattern": CARD.pattern}]
        async with (
            scripted_upstream(script) as upstream,
            living_proxy(
                tmp_path / "a.db", upstream.url, redact=rules, reserve_bytes=0
            ) as proxy,
        ):
            for stream in (False, True):
                body = chat(("user", f"take {secret}"), stream=stream)
                async with RawClient.connect(proxy.port) as client:
                    await client.post("/v1/chat/completions", body, "Connection: close")
                    _, headers = await client.head()
                    answer = await client.rest()
                assert headers["x-spiritsafe-recorded"] == "yes"
                assert b"5678" in answer

    asyncio.run(run())
    data = b"".join(part.read_bytes() for part in tmp_path.iterdir())
    assert b"take *********" in data
    assert b"5678" not in data
    with open_library(tmp_path / "a.db") as library:
        assert len(list(library.rows())) == 2
        assert [one for one in verify(library) if isinstance(one, Finding)] == []
        for row in library.rows():
            assert "redacted=card" in library.whole(row).flags
