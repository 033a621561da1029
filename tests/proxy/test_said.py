"""What an exchange says: its words and the tools it calls, of any endpoint and shape."""

from pathlib import Path

import orjson
import pytest

from proxy.said import MAX_CHARACTERS, said
from storage.queries.content import Said
from storage.reading import open_library
from storage.recorder import Recorder
from storage.records import Json
from tests.scripted_upstream import DONE, delta
from tests.storage.make import chat, clock, completion, exchange

pytestmark = pytest.mark.anyio

CALL = {"id": "c", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
CALLING = {"role": "assistant", "tool_calls": [CALL], "content": None}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def told(folder: Path, request: bytes, answer: bytes, **changes: object) -> Said:
    """Return what is said, after a recorder has kept it and it was read again."""
    changes |= {"answer": answer, "answer_size": len(answer), "edits": ()}
    made = exchange(request, "", **changes)
    async with Recorder.open(folder / "a.db", clock=clock) as recorder:
        recorder.accept(made.id)
        await recorder.keep(made)
    with open_library(folder / "a.db") as library:
        return said(library.one(made.id))


async def test_a_chat_says_its_messages_and_its_answer(tmp_path: Path) -> None:
    found = await told(
        tmp_path, chat(("system", "be brief"), ("user", "hi")), completion("hello")
    )
    assert Said("be brief\nhi\nhello", frozenset()) == found


async def test_a_stream_says_whole_words(tmp_path: Path) -> None:
    body = delta("hel") + delta("lo", "stop") + DONE
    headers = ((b"content-type", b"text/event-stream"),)
    found = await told(
        tmp_path, chat(("user", "hi")), body, streamed=True, answer_headers=headers
    )
    assert Said("hi\nhello", frozenset()) == found


async def test_tools_are_those_the_answer_calls(tmp_path: Path) -> None:
    """Not those that an earlier answer called, or that were merely on offer."""
    old: Json = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "get_time"}}],
    }
    tools = [{"type": "function", "function": {"name": "get_news"}}]
    request = orjson.dumps({"messages": [old], "tools": tools})
    answer = orjson.dumps({"choices": [{"message": CALLING}]})
    found = await told(tmp_path, request, answer)
    assert frozenset({"get_weather"}) == found.tools
    assert 'get_time\nget_weather\n{"city":"Oslo"}' == found.text


async def test_a_response_says_instructions_input_and_output(tmp_path: Path) -> None:
    part = {"type": "input_text", "text": "look"}
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    request = orjson.dumps(
        {
            "instructions": "be brief",
            "input": [{"role": "user", "content": [part, image]}],
        }
    )
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a cat"}]},
        {"type": "function_call", "name": "get_time", "arguments": "{}"},
    ]
    found = await told(
        tmp_path, request, orjson.dumps({"output": output}), endpoint="responses"
    )
    assert "be brief\nlook\nhm\na cat\nget_time\n{}" == found.text
    assert frozenset({"get_time"}) == found.tools


async def test_an_error_is_found_by_its_words(tmp_path: Path) -> None:
    error = orjson.dumps({"error": {"message": "slow down"}})
    found = await told(tmp_path, chat(("user", "hi")), error, status=429, error=error)
    assert "slow down" in found.text


@pytest.mark.parametrize(
    ("request_body", "answer"),
    [
        (b"", b""),
        (b"\xff\x00", b"\xff"),
        (b"[]", b"[]"),
        (b'{"messages":7,"input":{"a":[null]},"prompt":true}', b'{"choices":[1,{}]}'),
        (b'{"messages":[{"content":{"text":[7]}}]}', b'{"choices":[{"message":7}]}'),
        (b'{"prompt":' + b"[" * 5000 + b"]" * 5000 + b"}", b"{" * 5000),
        (
            b'{"messages":[]}',
            b'{"choices":[{"message":{"tool_calls":[1,{"custom":{"name":7}}]}}]}',
        ),
    ],
)  # fmt: skip
async def test_what_has_no_shape_says_nothing(
    tmp_path: Path, request_body: bytes, answer: bytes
) -> None:
    assert Said("", frozenset()) == await told(tmp_path, request_body, answer)


async def test_what_is_very_long_is_cut(tmp_path: Path) -> None:
    long = "word " * (MAX_CHARACTERS // 5) + "!"
    found = await told(tmp_path, chat(("user", long), ("user", "tail")), b"{}")
    assert long == found.text
