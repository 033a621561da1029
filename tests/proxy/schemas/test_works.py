"""The process aside, without the one who starts it: it answers, and it ends by itself."""

import io
import signal
import subprocess
import sys
from typing import Final

import pytest

from proxy.schemas.cases import Case
from proxy.schemas.slots import Slot
from proxy.schemas.works import HEAD_BYTES, Word, packed, run, words, work
from storage.records import Json
from tests.proxy.schemas.hostile import TREE, fan
from tests.proxy.schemas.questions import bound

LITTLE: Final = "from proxy.schemas import works; works.MEMORY_BYTES = 60 * 2**20"
SERVE: Final = "from proxy.schemas.works import serve; serve()"


def case(schema: Json, text: str) -> bytes:
    slot = Slot("/choices/0/message/content", "text", text)
    asked = Case(slot=slot, chosen=bound(schema), ended=True, kept=True)
    return packed(work(asked))


def said(told: bytes) -> list[Word]:
    source, found = io.BytesIO(told), []
    while head := source.read(HEAD_BYTES):
        found.append(words.decode(source.read(int.from_bytes(head, "big"))))
    return found


def test_it_is_ready_and_then_answers_case_by_case() -> None:
    cases = [case(TREE, "{}"), case(TREE, '{"a": "\ud800"}'), case({"type": 1}, "{}")]
    out = io.BytesIO()
    run(io.BytesIO(b"".join(cases)), out, limit_s=20)
    told = [(word.found.verdict, word.last) for word in said(out.getvalue())]
    assert [
        ("valid", True),  # ready
        ("valid", True),
        ("invalid", True),
        ("unchecked", True),
    ] == told


def test_that_a_value_is_invalid_is_told_before_its_faults() -> None:
    out = io.BytesIO()
    run(io.BytesIO(case(TREE, "7")), out, limit_s=20)
    _, first, last = said(out.getvalue())
    assert ("invalid", False) == (first.found.verdict, first.last)
    assert '7 is not of type "object"' == last.found.faults[0].message


@pytest.mark.parametrize(
    ("told", "ended"),
    [
        (b"", 0),
        (case(fan(50), '"a"'), -signal.SIGALRM),  # with nobody to kill it
    ],
)
def test_it_ends_with_its_input_and_by_its_own_alarm(told: bytes, ended: int) -> None:
    command = [sys.executable, "-c", SERVE, "0.2"]
    done = subprocess.run(command, input=told, stdout=subprocess.PIPE, check=False)
    assert ended == done.returncode
    assert [True] == [word.last for word in said(done.stdout)]


def test_what_wants_more_memory_than_there_may_be_is_too_large() -> None:
    command = [sys.executable, "-c", f"{LITTLE}; works.serve()", "20"]
    told = case({}, f"[{'[],' * 600_000}[]]")
    done = subprocess.run(command, input=told, stdout=subprocess.PIPE, check=False)
    assert "too_large" == said(done.stdout)[-1].found.reason
