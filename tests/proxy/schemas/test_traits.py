"""What a binding may look at in a body: fingerprint of the system prompt, format."""

from hashlib import sha256
from typing import Any

import orjson
import pytest

from proxy.schemas.traits import fingerprint, format_name
from proxy.splice import read
from storage.records import Endpoint


def digits(text: str) -> str:
    """Return the fingerprint of a text."""
    return sha256(text.encode()).hexdigest()[:16]


SYSTEM = {"role": "system", "content": "Be terse."}
DEVELOPER = {"role": "developer", "content": [{"type": "text", "text": "JSON only."}]}
USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("endpoint", "body", "told"),
    [
        ("chat", {"messages": [SYSTEM, USER]}, "Be terse."),
        ("chat", {"messages": [SYSTEM, DEVELOPER, USER]}, "Be terse.\nJSON only."),
        ("chat", {"messages": [USER, SYSTEM]}, None),
        ("chat", {"messages": [SYSTEM, USER, DEVELOPER]}, "Be terse."),
        ("chat", {"messages": []}, None),
        ("chat", {"messages": "no list"}, None),
        ("chat", {"messages": [7, SYSTEM]}, None),
        ("chat", {"messages": [{"role": "system", "content": 7}]}, None),
        ("chat", {"instructions": "Be terse."}, None),
        ("responses", {"instructions": "Be terse.", "input": "hi"}, "Be terse."),
        ("responses", {"input": [DEVELOPER, USER]}, "JSON only."),
        (
            "responses",
            {"instructions": "Be terse.", "input": [DEVELOPER]},
            "Be terse.\nJSON only.",
        ),
        ("completions", {"prompt": "x"}, None),
    ],
)
def test_the_fingerprint_is_that_of_the_leading_instructions(
    endpoint: Endpoint, body: Any, told: str | None
) -> None:
    members = read(orjson.dumps(body)).values
    assert (digits(told) if told else "") == fingerprint(endpoint, members)


def test_how_a_prompt_is_spelled_does_not_matter() -> None:
    one = read(b'{"messages":[{"role":"system","content":"\\u00e9\\n"}]}').values
    other = read(b'{"messages": [{"content": "\xc3\xa9\\n", "role": "system"}]}').values
    assert digits("é\n") == fingerprint("chat", one) == fingerprint("chat", other)


def test_a_list_of_a_million_messages_has_no_fingerprint() -> None:
    body = b'{"messages":[%s0]}' % (b"0," * 1_000_000)
    assert "" == fingerprint("chat", read(body).values)


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"response_format":{"json_schema":{"name":"Invoice"}}}', "Invoice"),
        (b'{"text":{"format":{"type":"json_schema","name":"Invoice"}}}', "Invoice"),
        (b'{"response_format":{"type":"json_object"}}', ""),
        (b'{"response_format":"json","text":7}', ""),
        (b'{"text":{"format":{"name":7}}}', ""),
        (b"{}", ""),
    ],
)
def test_the_name_of_a_format_is_found(body: bytes, name: str) -> None:
    assert name == format_name(read(body).values)
