"""`show`: by any id, for people, for programs, and the exact bytes."""

import asyncio
import json
from hashlib import sha256
from pathlib import Path

import pytest

from proxy.api import models
from proxy.commands import rows
from storage.recorder import Recorder
from tests.proxy.commands.conftest import Recorded
from tests.proxy.commands.recording import (
    REQUESTS,
    STEERING,
    complaint,
    out,
    spiritsafe,
)
from tests.scripted_upstream import DONE, completion, delta
from tests.storage.make import clock, exchange
from tests.storage.test_judgements import TOLD
from tests.storage.test_recorder import keep


def shown(file: Recorded, name: str, *flags: str) -> str:
    return out("show", file.ids[name], "--db", file.db, *flags)


def test_an_exchange_is_found_by_id_start_or_completion(file: Recorded) -> None:
    whole = shown(file, "plain")
    assert whole.startswith(file.ids["plain"])
    assert whole == out("show", file.ids["plain"][:19], "--db", file.db)
    assert whole == out("show", "chatcmpl-2", "--db", file.db)


def test_an_id_that_names_nothing_or_much_is_a_sentence(file: Recorded) -> None:
    assert "no exchange has the id 'ex_none'" in complaint(
        "show", "ex_none", "--db", file.db, code=1
    )
    assert "name one of them" in complaint("show", "ex_", "--db", file.db, code=1)


def test_a_person_reads_head_turns_calls_and_answer(file: Recorded) -> None:
    text = shown(file, "tools")
    for line in (
        "usage      3 prompt, 1 completion",
        "tags       env=test name=tools",
        "system\n  be brief",
        'calls get_weather({"city":"Oslo"})  [call_1]',
        "tool call_1\n  rain",
        "── answer ──\n\nassistant\n  answer to weather?",
    ):
        assert line in text
    assert 'edits      store = true, metadata = {"name":"tools","env":"test"}' in text
    assert "accept-encoding: identity" in text


def test_the_fingerprint_of_a_system_prompt_is_told(file: Recorded) -> None:
    digits = sha256(b"be brief").hexdigest()[:16]
    assert f"prompt     {digits}\n" in shown(file, "tools")
    assert "\nprompt " not in shown(file, "plain")


def test_a_stream_is_told_as_the_text_it_spells(file: Recorded) -> None:
    text = shown(file, "streamed")
    assert "assistant\n  one two" in text
    assert "(stream)" in text


def test_what_broke_off_or_failed_says_so(file: Recorded) -> None:
    assert "200 upstream_truncated" in shown(file, "cut")
    assert "assistant\n  half" in shown(file, "cut")
    assert '"slow down"' in shown(file, "refused")


def test_what_was_not_kept_says_so(file: Recorded) -> None:
    text = shown(file, "secret")
    assert "store: false" in text
    assert "CANARY" not in text + shown(file, "secret", "--json")
    assert "without content" in complaint(
        "show", file.ids["secret"], "--raw", "request", "--db", file.db, code=1
    )


def test_raw_bodies_are_the_bytes_that_passed(file: Recorded) -> None:
    def raw(name: str, which: str) -> bytes:
        done = spiritsafe("show", file.ids[name], "--raw", which, "--db", file.db)
        assert (0, b"") == (done.returncode, done.stderr)
        return done.stdout

    asked = json.dumps(REQUESTS["plain"]).encode()
    assert asked == raw("plain", "request")
    assert completion("answer to hi", id="chatcmpl-2", model="m-1-served") == raw(
        "plain", "answer"
    )
    assert delta("one ") + delta("two", "stop") + DONE == raw("streamed", "answer")
    sent = raw("plain", "sent")
    assert sent.endswith(asked[1:])
    assert {"store": True} == {
        k: v for k, v in json.loads(sent).items() if k == "store"
    }
    assert b"\\u001b" in raw("hostile", "request")


def test_a_program_gets_one_document(file: Recorded) -> None:
    document = json.loads(shown(file, "streamed", "--json"))
    assert ("complete", 200, True) == tuple(
        document[name] for name in ("state", "status", "streamed")
    )
    assert (delta("one ") + delta("two", "stop") + DONE).decode() == document["answer"]
    assert "one two" == document["assembled"]["choices"][0]["message"]["content"]
    assert json.dumps(REQUESTS["streamed"]) == document["request"]
    assert {"where": "body", "member": "store", "value": "true"} in document["edits"]
    assert ["content-type", "application/json"] in document["request_headers"]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_s41_recorded_text_steers_no_terminal(file: Recorded, flags: list[str]) -> None:
    text = shown(file, "hostile", *flags)
    assert "[bold]x[/]" in text
    assert [] == [steering for steering in STEERING if steering in text]


def test_verdicts_and_their_faults_are_told(tmp_path: Path) -> None:
    made = exchange(**TOLD)

    async def run() -> None:
        async with Recorder.open(tmp_path / "a.db", clock=clock) as recorder:
            await keep(recorder, made)

    asyncio.run(run())
    text = out("show", made.id, "--db", tmp_path / "a.db")
    for line in (
        "verdict    invalid at /price",
        "judged     invalid enforced: /choices/0/message/content by invoice@2 (binding:7)",
        '- /price: "SECRET" is not a number (/properties/price/type)',
        "- the whole: the rest (/required)",
        "judged     unchecked unknown_schema: /choices/0/message/tool_calls/0",
    ):
        assert line in text
    told = json.loads(out("show", made.id, "--db", tmp_path / "a.db", "--json"))
    assert told["judgements"][0] == {
        "slot": "/choices/0/message/content",
        "schema": "invoice@2",
        "digest": "64" * 32,
        "why": "binding:7",
        "verdict": "invalid",
        "reason": "",
        "followed": "enforced",
        "judged_at": rows.moment(made.ended_at),
        "faults": [
            {
                "at": "/price",
                "rule": "/properties/price/type",
                "message": '"SECRET" is not a number',
            },
            {"at": "", "rule": "/required", "message": "the rest"},
        ],
    }
    assert models.Exchange.model_validate(told).judgements[1].faults == []


def test_an_unknown_body_is_wrong_use(file: Recorded) -> None:
    assert "write request, sent, answer" in complaint(
        "show", file.ids["plain"], "--raw", "x", "--db", file.db, code=2
    )
