"""Judging what was recorded: short and long way agree, what hangs is given up."""

import asyncio
import json
import os
import signal
from contextlib import closing
from ctypes import c_longlong
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from proxy.schemas.history import WHY, History
from proxy.schemas.judge import Bound, Compiler, Question, judge
from proxy.schemas.spread import Job, spread
from proxy.schemas.tally import ELSEWHERE, MOST_PLACES, Findings
from proxy.schemas.trial import trial
from storage.judgements import Rejudged
from storage.queries.language import parse
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Exchange, Fault, Judgement
from tests.storage.make import clock, exchange

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "of": {"items": {"type": "string"}}},
    "required": ["n"],
}


def bound(schema: object = SCHEMA, tool: str = "") -> Bound:
    document = json.dumps(schema).encode()
    return Bound("invoice@2", sha256(document).digest(), document, WHY, tool)


def completion(**message: Any) -> dict[str, Any]:
    finish = message.pop("finish", "stop")
    told = {"role": "assistant", **message}
    return {"choices": [{"index": 0, "message": told, "finish_reason": finish}]}


def calling(*arguments: str | None, **more: Any) -> dict[str, Any]:
    calls = [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
        for text in arguments
    ]
    return completion(**{"content": None, "tool_calls": calls, **more})


def answered(answer: object, **changes: Any) -> Exchange:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    changes = {"answer": body, "answer_size": len(body), **changes}
    return exchange(**changes)


def recorded(path: Path, *made: Exchange) -> Path:
    async def run() -> None:
        async with Recorder.open(path, clock=clock, durability="relaxed") as recorder:
            for one in made:
                recorder.accept(one.id)
                await recorder.keep(one)

    asyncio.run(run())
    return path


ANSWERS = {
    "valid": completion(content='{"n": 1}'),
    "invalid": completion(content='{"n": "x", "of": [1, "a", 2]}'),
    "fenced": completion(content='Here:\n```json\n{"n": 2}\n```'),
    "in words": completion(content='It is {"n": 2} I think'),
    "words": completion(content="I do not know"),
    "twice": completion(content='{"n": 1, "n": 2}'),
    "nan": completion(content='{"n": NaN}'),
    "half": completion(content='{"n": 1, "of": ["\\ud83d"]}'),
    "deep": completion(content="[" * 100_000),
    "blank": completion(content=" \n"),
    "empty": completion(content=None),
    "cut": completion(content='{"n": 1, "of', finish="length"),
    "whole at length": completion(content='{"n": 1}', finish="length"),
    "words at length": completion(content='It is {"n": 2} and', finish="length"),
    "refused": completion(content=None, refusal="no"),
    "call": calling('{"n": 1}'),
    "wrong call": calling('{"n": 1.5}'),
    "calls": calling('{"n": 1}', "{}"),
    "trailing": calling('{"n": 1} and more'),
    "no arguments": calling(""),
    "null arguments": calling(None),
    "object arguments": calling({"n": 1}),  # type: ignore[arg-type]  # some send it so
    "legacy": completion(content=None, function_call={"name": "f", "arguments": "{}"}),
    "text and call": calling('{"n": 1}', content="words"),
    "parts": completion(content=[{"type": "text", "text": '{"n": 1}'}]),
    "choices": {"choices": completion(content="{}")["choices"] * 2},
    "no choices": {"choices": []},
}  # fmt: skip
STREAM = b"".join(
    b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, **choice}]}).encode()
    for choice in (
        {"delta": {"role": "assistant", "content": '{"n"'}},
        {"delta": {"content": ': "1"}'}, "finish_reason": "stop"},
    )
)


@pytest.mark.parametrize("tool", ["", "f", "g"])
def test_the_short_way_says_what_the_long_one_says(tmp_path: Path, tool: str) -> None:
    made = [answered(answer) for answer in ANSWERS.values()]
    db, its = recorded(tmp_path / "a.db", *made), bound(tool=tool)
    with open_library(db) as library:
        history = History(library, its, wants_all=True)
        found = history.judge((1, len(made)), c_longlong()).judgements
    expected = []
    for seq, answer in enumerate(ANSWERS.values(), 1):
        question = Question(
            endpoint="chat",
            request=b"",
            answer=answer,
            complete=True,
            status=200,
            bound=(its,),
        )
        if judgements := judge(question, Compiler()):
            expected.append((seq, judgements))
    assert expected == found


def test_all_kinds_of_exchanges_are_counted(tmp_path: Path) -> None:
    response = {
        "object": "response",
        "status": "completed",
        "output": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": '{"n": 1}'}],
            }
        ],
    }
    db = recorded(
        tmp_path / "a.db",
        answered(ANSWERS["valid"], verdict="invalid"),
        answered(ANSWERS["invalid"]),
        answered(STREAM, streamed=True),
        answered(response, endpoint="responses"),
        answered(ANSWERS["cut"], state="incomplete", reason="client_aborted"),
        answered(ANSWERS["valid"], content_kept=False),
        answered({"error": {"message": "no"}}, status=429),
        answered({"data": []}, endpoint="embeddings"),
        answered(b"not JSON"),
        answered(b"{" + b" " * 70_000 + json.dumps(ANSWERS["valid"]).encode()[1:]),
        answered(b'{"choices":[', answer_size=10_000),
    )
    with open_library(db) as library:
        findings = trial(library, Job(db, bound()), None, workers=1)
    report = findings.report()
    places = {(place["at"], place["count"]) for place in report.pop("errors")}
    assert {("/n", 2)} == places
    assert {
        "exchanges": 11,
        "judged": 6,
        "pass_ratio": 3 / 5,
        "verdicts": {"valid": 3, "invalid": 2, "truncated": 1},
        "unchecked": {},
        "not_judged": {"content_not_kept": 1, "status": 1, "nothing_to_judge": 3},
        "changes": [
            {"before": None, "now": "invalid", "count": 2},
            {"before": None, "now": "truncated", "count": 1},
            {"before": None, "now": "valid", "count": 2},
            {"before": "invalid", "now": "valid", "count": 1},
        ],
    } == report


def test_a_filter_chooses(tmp_path: Path) -> None:
    made = [
        answered(ANSWERS["valid"], tags={"task": "a"}),
        answered(ANSWERS["words"], tags={"task": "b"}),
    ]
    db = recorded(tmp_path / "a.db", *made)
    with open_library(db) as library:
        query = parse("tag.task:a")
        findings = trial(library, Job(db, bound()), query, workers=2)
    assert (1, {"valid": 1}) == (findings.exchanges, findings.verdicts)


def bomb(levels: int) -> dict[str, Any]:
    """Return a schema that takes 2^levels steps for a value with the member `bomb`."""
    twice = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)
    }
    last: dict[str, Any] = {f"d{levels}": {"type": "integer"}}
    return {"properties": {"bomb": {"$ref": "#/$defs/d0"}}, "$defs": {**twice, **last}}


@pytest.mark.parametrize("tasks", [[(1, 5)], [[1, 2, 3, 4, 5]]], ids=["range", "list"])
def test_what_takes_too_long_is_given_up_and_the_rest_is_judged(
    tmp_path: Path, tasks: list[Any]
) -> None:
    texts = ['{"n": 1}', '{"n": 2}', '{"bomb": 1}', '{"n": 3}', '{"n": 4}']
    made = [answered(completion(content=text)) for text in texts]
    db = recorded(tmp_path / "a.db", *made)
    findings, told = Findings(), {}
    job = Job(db, bound(bomb(40)), wants_all=True)
    with closing(spread(job, tasks, workers=2, longest_s=0.5)) as found:
        for verdicts in found:
            findings.merge(verdicts.findings)
            told.update(dict(verdicts.judgements))
    assert {"valid": 4, "unchecked": 1} == findings.verdicts
    assert {"took_too_long": 1} == findings.reasons
    assert [1, 2, 3, 4, 5] == sorted(told)
    assert "took_too_long" == told[3][0].reason


def test_a_process_that_ends_by_itself_is_told_of(tmp_path: Path) -> None:
    db = recorded(tmp_path / "a.db", answered(ANSWERS["valid"]))
    job = Job(db, bound({"type": "nothing"}))
    with (
        closing(spread(job, [(1, 1)], workers=1)) as found,
        pytest.raises(RuntimeError, match="ended with 1"),
    ):
        list(found)


@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGSEGV, "too_deep"), (signal.SIGKILL, "too_large")],
)
def test_what_ends_a_process_costs_one_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    texts = ['{"n": 1}', '{"bomb": 1}', '{"n": 2}']
    made = [answered(completion(content=text)) for text in texts]
    db = recorded(tmp_path / "a.db", *made)
    findings = Findings()

    def killed(worker: Any) -> float:
        if worker.seat.value == 2:
            os.kill(worker.process.pid, number)
        return 0.0

    monkeypatch.setattr("proxy.schemas.spread._Worker.stays_s", killed)
    with closing(spread(Job(db, bound(bomb(40))), [(1, 3)], workers=1)) as found:
        for verdicts in found:
            findings.merge(verdicts.findings)
    assert {"valid": 2, "unchecked": 1} == findings.verdicts
    assert {reason: 1} == findings.reasons


def test_what_went_on_in_the_last_moment_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed too long, and had ended its task when its process was ended."""
    db = recorded(tmp_path / "a.db", answered(completion(content='{"n": 1}')))
    found_late: list[int] = []

    def late(worker: Any) -> float:
        if found_late:
            return 0.0
        found_late.append(worker.process.pid)
        worker._seen = (1, 0.0)
        worker.seat.value = 0
        return 99.0

    monkeypatch.setattr("proxy.schemas.spread._LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("proxy.schemas.spread._Worker.stays_s", late)
    findings = Findings()
    with closing(spread(Job(db, bound({})), [(1, 1)], workers=1)) as found:
        for verdicts in found:
            findings.merge(verdicts.findings)
    assert {"valid": 1} == findings.verdicts


def test_judgements_are_kept_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.schemas.trial.KEPT_AT_ONCE", 2)
    monkeypatch.setattr("proxy.schemas.trial.AT_ONCE", 1)
    names = ("valid", "words", "fenced", "twice", "nan")
    db = recorded(tmp_path / "a.db", *(answered(ANSWERS[name]) for name in names))
    kept: list[list[Rejudged]] = []
    done: list[int] = []
    with open_library(db) as library:
        job = Job(db, bound(), wants_all=True)
        trial(library, job, None, workers=2, keep=kept.append, done=done.append)
    assert [2, 2, 1] == [len(some) for some in kept]
    assert [1, 2, 3, 4, 5] == done
    told = {
        its.seq: (its.schema, its.verdict, its.error_path)
        for some in kept
        for its in some
    }
    assert ("invoice@2", "invalid", "") == told[4]
    assert ("invoice@2", "valid", None) == told[1]


def test_findings_of_many_are_added_and_bounded() -> None:
    def judged(at: str) -> Judgement:
        fault = Fault(at, "/type", f"at {at}")
        return Judgement(
            slot="",
            schema="a@1",
            digest=b"",
            why=WHY,
            verdict="invalid",
            faults=(fault,),
        )

    one, other = Findings(), Findings()
    for number in range(MOST_PLACES + 5):
        one.add(f"ex_{number}", None, (judged(f"/items/{number}/p{number}"),))
    other.add("ex_x", "valid", (judged("/items/7/p3"),))
    one.merge(other)
    assert 2 == one.places["/items/*/p3", "/type"].count
    assert ["ex_3", "ex_x"] == one.places["/items/*/p3", "/type"].examples
    assert 5 == one.places[ELSEWHERE, ""].count
    assert 1 == one.changes["valid", "invalid"]
    assert 1 == other.places["/items/*/p3", "/type"].count  # nothing is shared
