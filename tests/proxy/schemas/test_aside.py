"""Hostile schemas and answers: each has its outcome, and nobody else waits for it."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from proxy.schemas import aside
from proxy.schemas import compile as compiling
from proxy.schemas.admit import admit
from proxy.schemas.cases import Case
from proxy.schemas.finding import Found
from proxy.schemas.judge import Judge, Question
from proxy.schemas.weight import Weight
from storage.records import Json, Judgement
from tests.proxy.schemas.hostile import SLOW_PATTERNS, TREE, chain, fan, nested
from tests.proxy.schemas.questions import FORMAT, bound, call, chat, say

pytestmark = pytest.mark.anyio

LIMIT_S = 0.5


@contextlib.asynccontextmanager
async def judging(limit_s: float = 20) -> AsyncIterator[Judge]:
    judge = Judge(limit_s=limit_s)
    try:
        yield judge
    finally:
        await judge.close()


def asked(schema: Json, text: str) -> Question:
    return msgspec.structs.replace(chat(say(text)), bound=(bound(schema),))


async def answered(judge: Judge, schema: Json, text: str) -> Judgement:
    (one,) = await judge.ask(asked(schema, text))
    return one


def process_of(judge: Judge) -> asyncio.subprocess.Process | None:
    return judge._aside._process


@pytest.mark.parametrize(
    ("keyword", "text"), [("allOf", '"a"'), ("anyOf", "1"), ("oneOf", "1")]
)
async def test_s44_what_unfolds_without_end_is_unchecked(
    keyword: str, text: str
) -> None:
    async with judging(LIMIT_S) as judge:
        one = await answered(judge, fan(40, keyword), text)
        assert ("unchecked", "took_too_long") == (one.verdict, one.reason)
        assert process_of(judge) is None  # killed
        judge._aside._limit_s = 20
        assert "valid" == (await answered(judge, fan(12), '"a"')).verdict


def carrying(schema: Json, text: str) -> Question:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    return chat(say(text), response_format=form)


async def test_clients_own_schemas_keep_no_registered_one() -> None:
    async with judging(LIMIT_S) as judge, asyncio.TaskGroup() as tasks:
        await answered(judge, TREE, "{}")
        hostile = [
            tasks.create_task(judge.ask(carrying(fan(40 + n), '"a"'))) for n in range(5)
        ]
        await asyncio.sleep(0)
        for _ in range(10):
            assert "valid" == (await answered(judge, TREE, "{}")).verdict
        assert not any(one.done() for one in hostile)


async def test_projects_take_turns() -> None:
    def of(project: str, schema: Json, text: str) -> Question:
        return msgspec.structs.replace(carrying(schema, text), project=project)

    async with judging(LIMIT_S) as judge, asyncio.TaskGroup() as tasks:
        hostile = [
            tasks.create_task(judge.ask(of("one", fan(40 + n), '"a"')))
            for n in range(8)
        ]
        await asyncio.sleep(0)
        (one,) = await judge.ask(of("other", TREE, "{}"))
        assert "valid" == one.verdict
        assert 1 >= sum(one.done() for one in hostile)


async def test_a_clients_schema_that_took_too_long_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asking = carrying(fan(40), '"a"')
    async with judging(LIMIT_S) as judge:
        started: list[bytes] = []
        ask = judge._aside_for_carried._ask

        async def counted(case: Case) -> Found:
            started.append(case.slot.text.encode())
            return await ask(case)

        monkeypatch.setattr(judge._aside_for_carried, "_ask", counted)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(judge.ask(asking))
        (one,) = await judge.ask(asking)
        assert ("unchecked", "took_too_long") == (one.verdict, one.reason)
        assert [b'"a"'] == started
        monkeypatch.setattr(aside, "REMEMBERED_S", 0)
        other = carrying(fan(41), '"a"')
        await judge.ask(other)
        await judge.ask(other)
        assert 3 == len(started)
        (one,) = await judge.ask(carrying(TREE, "{}"))
        assert "valid" == one.verdict


async def test_many_heavy_parts_of_an_answer_share_the_time_of_one() -> None:
    question = chat(*[say('"a"')] * 100)
    question = msgspec.structs.replace(question, bound=(bound(fan(40)),))
    async with judging(LIMIT_S) as judge:
        judgements = await judge.ask(question)
    assert ["took_too_long"] * 100 == [one.reason for one in judgements]


async def test_a_verdict_stays_though_its_faults_took_too_long() -> None:
    async with judging(4) as judge:  # its verdict takes 25 ms, its faults 156 s
        one = await answered(judge, fan(20, "anyOf"), "1")
        assert "invalid" == one.verdict
        assert "To list the faults took too long." == one.faults[0].message


async def test_answers_and_schemas_that_are_deep_together_are_unchecked() -> None:
    async with judging() as judge:
        recursive = chain(100, {"type": "object", "properties": {"a": {"$ref": "#"}}})
        one = await answered(judge, recursive, nested(900))
        assert ("unchecked", "too_deep") == (one.verdict, one.reason)
        assert "valid" == (await answered(judge, TREE, nested(50))).verdict
        one = await answered(judge, TREE, nested(50, "1"))
        assert ("invalid", "/a" * 50) == (one.verdict, one.faults[0].at)


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
async def test_an_answer_of_100_000_levels_is_unchecked(bracket: str) -> None:
    async with judging() as judge:
        one = await answered(judge, {}, bracket * 100_000)
        assert ("unchecked", "too_deep") == (one.verdict, one.reason)


async def test_an_answer_of_50_megabytes_is_unchecked() -> None:
    async with judging() as judge:
        one = await answered(judge, {}, f'"{"a" * 50_000_000}"')
        assert ("unchecked", "too_large") == (one.verdict, one.reason)
        assert process_of(judge) is None  # not even asked


async def test_a_large_answer_is_judged_aside() -> None:
    numbers = json.dumps(list(range(200_000)))
    async with judging() as judge:
        schema = {"items": {"type": "integer"}}
        assert "valid" == (await answered(judge, schema, numbers)).verdict
        one = await answered(judge, {"items": {"type": "string"}}, numbers)
        assert ("invalid", ["/0"]) == (one.verdict, [fault.at for fault in one.faults])
        assert process_of(judge) is not None


async def test_many_faults_are_listed_aside() -> None:
    async with judging() as judge:
        numbers = json.dumps(list(range(5_000)))
        one = await answered(judge, {"items": {"type": "string"}}, numbers)
        assert [f"/{n}" for n in range(20)] == [fault.at for fault in one.faults]
        assert process_of(judge) is not None


@pytest.mark.parametrize("keyword", ["anyOf", "allOf"])
async def test_the_faults_of_many_branches_are_listed_aside(keyword: str) -> None:
    async with judging() as judge:
        branches = [{"type": "string"}] * 100
        one = await answered(judge, {"items": {keyword: branches}}, f"[{'1,' * 99}1]")
        assert ("invalid", 20) == (one.verdict, len(one.faults))
        assert process_of(judge) is not None


@pytest.mark.parametrize(("pattern", "letter"), SLOW_PATTERNS)
async def test_s45_no_pattern_is_slow(pattern: str, letter: str) -> None:
    async with judging() as judge:
        one = await answered(judge, {"pattern": pattern}, f'"{letter * 50_000}!"')
        assert one.verdict in {"valid", "invalid"}


async def test_a_number_of_many_digits_is_unchecked() -> None:
    async with judging() as judge:
        one = await answered(judge, {}, "1" * 5000)
        assert ("unchecked", "too_large") == (one.verdict, one.reason)


async def test_an_answer_has_few_schemas_compiled_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten of 10 kB: three here, the others in the process; then three more here."""
    here: list[Json] = []

    class Counted(compiling.Compiled):
        def __init__(self, schema: Json, weight: Weight | None = None) -> None:
            here.append(schema)
            super().__init__(schema, weight)

    monkeypatch.setattr(compiling, "Compiled", Counted)
    tools, calls = [], []
    for number in range(10):
        names = {f"a{number}_{n}": {"type": "string"} for n in range(300)}
        function = {"name": f"t{number}", "parameters": {"properties": names}}
        tools.append({"type": "function", "function": function})
        calls += call("{}", f"t{number}")["tool_calls"]
    question = chat(say(None, tool_calls=calls), tools=tools)
    async with judging() as judge:
        for compiled in (3, 6):
            judgements = await judge.ask(question)
            assert ["valid"] * 10 == [one.verdict for one in judgements]
            assert compiled == len(here)


async def test_an_answer_has_little_judged_on_the_event_loop() -> None:
    names = {f"a{n}": {"type": "string"} for n in range(100)}
    question = chat(*[say(json.dumps({"a": "b" * 5000}))] * 4)
    question = msgspec.structs.replace(question, bound=(bound({"properties": names}),))
    async with judging() as judge:
        await judge.ask(
            msgspec.structs.replace(
                question, answer={"choices": question.answer["choices"][:3]}
            )
        )
        assert process_of(judge) is None
        judgements = await judge.ask(question)
        assert ["valid"] * 4 == [one.verdict for one in judgements]
        assert process_of(judge) is not None


async def test_schemas_are_found_in_a_large_request() -> None:
    form = chat(say('{"x": 1}'), **FORMAT, prompt="p" * 100_000)
    async with judging() as judge:
        (one,) = await judge.ask(form)
        assert "valid" == one.verdict


@pytest.mark.parametrize("keyword", [{"multipleOf": 7}, {"uniqueItems": True}])
async def test_numbers_of_many_digits_are_divided_and_compared_aside(
    keyword: dict[str, Json],
) -> None:
    numbers = f"[{','.join(str(10**40 + n) for n in range(200))}]"
    schema = {"items": keyword, **keyword}
    async with judging() as judge:
        await answered(judge, schema, "[1, 2, 3]")
        assert process_of(judge) is None
        await answered(judge, schema, numbers)
        assert process_of(judge) is not None


async def test_half_a_surrogate_pair_reaches_the_process_aside() -> None:
    async with judging() as judge:
        one = await answered(judge, TREE, '{"a": "\ud800"}')
        assert ("invalid", "/a") == (one.verdict, one.faults[0].at)
        assert process_of(judge) is not None


async def test_a_tool_with_half_a_surrogate_pair_in_its_name_is_judged_aside() -> None:
    question = chat(call('{"a": 1}', "\ud800"))
    question = msgspec.structs.replace(question, bound=(bound(TREE),))
    async with judging() as judge:
        (one,) = await judge.ask(question)
        assert ("invalid", "/a") == (one.verdict, one.faults[0].at)
        assert process_of(judge) is not None


async def test_what_lies_in_the_current_folder_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    async with judging() as judge:
        assert "valid" == (await answered(judge, TREE, "{}")).verdict
    await admit("invoice", json.dumps(fan(16)).encode())


async def test_a_process_that_does_not_start_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    async with judging() as judge:
        for _ in range(2):
            one = await answered(judge, TREE, "{}")
            assert "unchecked" == one.verdict
    assert ["schemas: the process for heavy cases does not start"] == caplog.messages


def fails(_: Json) -> None:
    raise RecursionError


async def test_what_nobody_foresaw_leaves_its_case_unchecked_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with judging() as judge:
        monkeypatch.setattr("proxy.schemas.compile.weigh", fails)
        for text in ("1", "2"):
            one = await answered(judge, {"not": {"const": text}}, text)
            assert ("unchecked", "failed") == (one.verdict, one.reason)
    assert 1 == len(caplog.records)


async def test_ordinary_answers_are_judged_while_a_heavy_one_is() -> None:
    async with judging() as judge, asyncio.TaskGroup() as tasks:
        heavy = tasks.create_task(answered(judge, fan(40), '"a"'))
        await asyncio.sleep(0)
        for _ in range(100):
            (one,) = await judge.ask(chat(say('{"x": 1}'), **FORMAT))
            assert "valid" == one.verdict
            await asyncio.sleep(0)
        assert not heavy.done()
        heavy.cancel()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGSEGV, "too_deep"),
        (signal.SIGKILL, "too_large"),
        (signal.SIGABRT, "too_large"),
        (signal.SIGALRM, "took_too_long"),
    ],
)
async def test_what_ends_the_process_aside_leaves_its_case_unchecked(
    number: int, reason: str
) -> None:
    async with judging() as judge:
        await answered(judge, TREE, "{}")
        process = process_of(judge)
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(answered(judge, TREE, "{}"))
            await asyncio.sleep(0)
            os.kill(process.pid, number)
            os.kill(process.pid, signal.SIGCONT)
        assert ("unchecked", reason) == (
            asking.result().verdict,
            asking.result().reason,
        )
        assert "valid" == (await answered(judge, TREE, "{}")).verdict


async def test_who_stops_waiting_stops_the_process() -> None:
    async with judging() as judge, asyncio.TaskGroup() as tasks:
        await answered(judge, TREE, "{}")
        process = process_of(judge)
        assert process is not None
        asking = tasks.create_task(answered(judge, fan(40), '"a"'))
        await asyncio.sleep(0)
        asking.cancel()
        assert -signal.SIGKILL == await process.wait()


async def test_no_more_than_some_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "MAX_WAITING", 1)
    async with judging(3) as judge, asyncio.TaskGroup() as tasks:
        asking = [
            tasks.create_task(answered(judge, fan(40), '"a"')),
            tasks.create_task(answered(judge, TREE, "{}")),
            tasks.create_task(answered(judge, TREE, "{}")),
        ]
    outcomes = [one.result().verdict for one in asking]
    assert ["unchecked", "valid", "unchecked"] == outcomes
