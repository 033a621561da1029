"""Re-asks: an exchange that corrects another is linked to it, and no other is."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from storage.reading import open_library
from storage.reasks import link_of
from storage.recorder import Recorder
from storage.records import Exchange, Fault, Judgement, Verdict
from storage.threads import message_key
from tests.storage.make import chat, clock, exchange

pytestmark = pytest.mark.anyio

ERROR = "Validation Error found:\nname: field required\nfix the errors"
Turn = dict[str, Any]


def judged(verdict: Verdict, schema: str = "invoice@1", text: str = "") -> Judgement:
    return Judgement(
        slot="/choices/0/message/content",
        schema=schema,
        digest=sha256((text or schema).encode()).digest(),
        why="response_format",
        verdict=verdict,
    )


def attempt(
    *turns: tuple[str, str], answer: str, verdict: Verdict = "invalid", **more: Any
) -> Exchange:
    """Return a judged exchange that asks with these turns."""
    made = {"verdict": verdict, "judgements": (judged(verdict),), **more}
    return exchange(chat(*turns), text=answer, **made)


def called(arguments: str) -> Turn:
    function = {"name": "invoice", "arguments": arguments}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def of_call(turns: list[Turn], arguments: str, verdict: Verdict) -> Exchange:
    key = message_key(orjson.dumps(called(arguments)))
    assert key is not None
    request = orjson.dumps({"messages": turns})
    told = judged(verdict)
    return exchange(request, answer_keys=(key,), verdict=verdict, judgements=(told,))


async def links(
    path: Path, *made: Exchange, at_once: bool = False
) -> list[tuple[str, str, str] | None]:
    """Record these; return for each the attempt before, the first, and who asked."""
    mode: Any = "relaxed" if at_once else "durable"
    async with Recorder.open(path, clock=clock, durability=mode) as recorder:
        for one in made:
            recorder.accept(one.id)
            await recorder.keep(one)
    found: list[tuple[str, str, str] | None] = []
    with open_library(path) as library:
        ids = {library.row(one.id).seq: one.id for one in made}
        for one in made:
            link = link_of(library.connection, library.row(one.id).seq)
            found.append(
                None if link is None else (ids[link.rejected], ids[link.root], link.by)
            )
    return found


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
async def test_attempts_are_chained_to_the_first(
    tmp_path: Path, *, at_once: bool
) -> None:
    asked = [("system", "s"), ("user", "q")]
    first = attempt(*asked, answer="{}")
    asked += [("assistant", "{}"), ("user", ERROR)]
    second = attempt(*asked, answer="[]")
    asked += [("assistant", "[]"), ("user", ERROR)]
    third = attempt(*asked, answer='{"name":"a"}', verdict="valid")
    asked += [("assistant", '{"name":"a"}'), ("user", ERROR)]
    after = attempt(*asked, answer='{"name":"b"}', verdict="valid")
    found = await links(tmp_path / "a.db", first, second, third, after, at_once=at_once)
    assert [
        None,
        (first.id, first.id, "client"),
        (second.id, first.id, "client"),
        None,
    ] == found


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
async def test_results_of_tools_that_tell_errors_ask_again(
    tmp_path: Path, *, at_once: bool
) -> None:
    turns: list[Turn] = [{"role": "user", "content": "q"}]
    first = of_call(turns, "{}", "invalid")
    result = {"role": "tool", "tool_call_id": "call_1", "name": "x", "content": ERROR}
    second = of_call([*turns, called("{}"), result], '{"name":"a"}', "valid")
    found = await links(tmp_path / "a.db", first, second, at_once=at_once)
    assert [None, (first.id, first.id, "client")] == found


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
async def test_errors_without_the_answer_ask_again(
    tmp_path: Path, *, at_once: bool
) -> None:
    """As Instructor does for Responses, and for every stream."""
    first = attempt(("user", "q"), answer="{}")
    second = attempt(("user", "q"), ("user", ERROR), answer="[]")
    third = attempt(
        ("user", "q"), ("user", ERROR), ("user", ERROR), answer="1", verdict="valid"
    )
    found = await links(tmp_path / "a.db", first, second, third, at_once=at_once)
    assert [
        None,
        (first.id, first.id, "client"),
        (second.id, first.id, "client"),
    ] == found


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
@pytest.mark.parametrize("before", ["valid", "invalid"])
async def test_errors_without_the_answer_ask_again_in_a_later_turn(
    tmp_path: Path, before: Verdict, *, at_once: bool
) -> None:
    asked = [("user", "q")]
    older = attempt(*asked, answer="0", verdict=before)
    asked += [("assistant", "0"), ("user", "and then?")]
    first = attempt(*asked, answer="{}")
    second = attempt(*asked, ("user", ERROR), answer="1", verdict="valid")
    found = await links(tmp_path / "a.db", older, first, second, at_once=at_once)
    assert [None, None, (first.id, first.id, "client")] == found


async def test_an_answer_not_sent_back_as_it_was_asks_again_too(
    tmp_path: Path,
) -> None:
    """Instructor loses a legacy function call when it writes the message again."""
    first = attempt(("user", "q"), answer='{"a":1}')
    asked = (("user", "q"), ("assistant", ""), ("user", ERROR))
    second = attempt(*asked, answer="{}", verdict="valid")
    found = await links(tmp_path / "a.db", first, second)
    assert (first.id, first.id, "client") == found[1]


async def test_one_text_behind_a_named_response_asks_again(tmp_path: Path) -> None:
    first = attempt(("user", "q"), answer="{}", completion_id="resp_1")
    asked = orjson.dumps({"previous_response_id": "resp_1", "input": ERROR})
    other = orjson.dumps({"previous_response_id": "resp_1", "input": "thanks"})
    again, on = (
        exchange(
            request,
            endpoint="responses",
            previous_response_id="resp_1",
            verdict="valid",
            judgements=(judged("valid"),),
        )
        for request in (asked, other)
    )
    found = await links(tmp_path / "a.db", first, again, on)
    assert [None, (first.id, first.id, "client"), None] == found


FAULTS = (
    Fault("/price", "/properties/price/type", '"1" is not of type "number"'),
    Fault("/items/0/name", "/required", "x"),
)

COMPLAINTS = [
    "Validation Errors found:\nname: field required",
    "Validation Error(s) found:\nname: field required",
    "Correct your JSON ONLY RESPONSE, based on the following errors:\n1 thing",
    "Correct the following JSON response, based on the errors given below:\n\nJSON:",
    "Recall the function correctly, fix the errors, exceptions found\n1 thing",
    "Validation feedback:\nno such place\n\nFix the errors and try again.",
    "2 validation errors:\n```json\n[]\n```\n\nFix the errors and try again.",
    "1 validation error for Invoice\nprice\n  Input should be a valid number",
    "Error invoking tool 'pay' with kwargs {'price': 'x'} with error:\n no number",
    'No: "1" is not of type "number". Once more.',
    "What you sent breaks these rules:\n/price: a number, please",
    "What you sent breaks these rules:\nitems.0.name\n  is too short",
]

TALK = [
    "2026-01-02 GET /price 500 Internal Server Error\nvalidation of /items/0 failed",
    "Error: connection refused, please fix your network and try again",
    '{"error": "invalid", "price": 12}',
    "price: 12\nname: x\nvalidated: true",
    "Great. Now the next ticket: 'Login page shows error 500, please fix'",
    "Please fix the validation error in my code: Validation Error found: x",
    "12 validation errors are in my log; correct the form",
]


@pytest.mark.parametrize(("said", "linked"), [
    *[(said, True) for said in COMPLAINTS], *[(said, False) for said in TALK]
])  # fmt: skip
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
@pytest.mark.parametrize("role", ["tool", "user"])
async def test_only_what_complains_of_the_answer_asks_again(
    tmp_path: Path, role: str, said: str, *, linked: bool, at_once: bool
) -> None:
    told = msgspec.structs.replace(judged("invalid"), faults=FAULTS)
    first = attempt(("user", "q"), answer="{}", judgements=(told,))
    second = attempt(
        *(("user", "q"), ("assistant", "{}"), (role, said)),
        answer="1",
        verdict="valid",
    )
    found = await links(tmp_path / "a.db", first, second, at_once=at_once)
    assert [None, (first.id, first.id, "client") if linked else None] == found


OTHER = (judged("valid", "receipt@1"),)


@pytest.mark.parametrize(
    ("new", "before", "more"),
    [
        ("thanks, and the next one?", "invalid", {}),
        (ERROR, "valid", {}),
        (ERROR, "refused", {}),
        (ERROR, "invalid", {"judgements": OTHER}),
        (ERROR, "invalid", {"judgements": (), "verdict": None}),
        (ERROR, "invalid", {"project": "other"}),
    ],
    ids=["goes on", "valid", "refused", "other schema", "unjudged", "other project"],
)
@pytest.mark.parametrize("repeats", [True, False], ids=["repeats", "does not"])
async def test_what_does_not_correct_is_not_linked(
    tmp_path: Path, new: str, before: Verdict, more: dict[str, Any], *, repeats: bool
) -> None:
    first = attempt(("user", "q"), answer="{}", verdict=before)
    middle = [("assistant", "{}")] if repeats else []
    second = attempt(
        *[("user", "q"), *middle, ("user", new)],
        **{"answer": "[]", "verdict": "valid", **more},
    )
    assert [None, None] == await links(tmp_path / "a.db", first, second)


async def test_a_conversation_goes_on_from_the_answer_that_came_in_the_end(
    tmp_path: Path,
) -> None:
    """It repeats the first question and the last answer, and nothing between."""
    first = attempt(("user", "q"), answer="{}")
    asked = (("user", "q"), ("assistant", "{}"), ("user", ERROR))
    second = attempt(*asked, answer="1", verdict="valid")
    said = (("user", "q"), ("assistant", "1"), ("user", "and then?"))
    other = (("user", "q"), ("assistant", "2"), ("user", "and then?"))
    third, alone = exchange(chat(*said)), exchange(chat(*other))
    await links(tmp_path / "a.db", first, second, third, alone)
    with open_library(tmp_path / "a.db") as library:
        kept = library.one(third.id)
        assert (second.id, first.id) == (kept.parent_id, kept.thread_id)
        assert library.one(alone.id).parent_id is None


async def test_a_name_is_enough_and_so_is_a_document(tmp_path: Path) -> None:
    """`invoice@1` renamed, or a schema whose text changed, is still the same."""
    asked = [("user", "q")]
    first = attempt(*asked, answer="{}")
    asked += [("assistant", "{}"), ("user", ERROR)]
    renamed = judged("invalid", "bill@1", text="invoice@1")
    second = attempt(*asked, answer="[]", judgements=(renamed,))
    asked += [("assistant", "[]"), ("user", ERROR)]
    changed = judged("valid", "bill@1", text="new")
    third = attempt(*asked, answer="1", verdict="valid", judgements=(changed,))
    found = await links(tmp_path / "a.db", first, second, third)
    assert (second.id, first.id, "client") == found[2]


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
async def test_attempts_of_the_proxy_name_the_one_before(
    tmp_path: Path, *, at_once: bool
) -> None:
    first = attempt(("user", "q"), answer="{}", content_kept=False)
    second = attempt(("user", "r"), answer="[]", asks_again=first.id)
    third = attempt(("user", "s"), answer="1", verdict="valid", asks_again=second.id)
    lost = attempt(("user", "t"), answer="1", verdict="valid", asks_again="ex_none")
    found = await links(tmp_path / "a.db", first, second, third, lost, at_once=at_once)
    assert [
        None,
        (first.id, first.id, "proxy"),
        (second.id, first.id, "proxy"),
        None,
    ] == found
