"""Claims about what never reaches a log line or a record."""

import pytest

from proxy import redact


@pytest.mark.parametrize(
    ("query", "masked"),
    [
        (b"", b""),
        (b"key=CANARY", b"key=***"),
        (b"api-version=1&api-key=CANARY&x=y", b"api-version=1&api-key=***&x=y"),
        (b"API_KEY=CANARY", b"API_KEY=***"),
        (b"api%5Fkey=CANARY", b"api%5Fkey=***"),
        (b"a%zz&access_token=CANARY=&&b", b"a%zz&access_token=***&&b"),
        (b"key=CANARY&key=CANARY2", b"key=***&key=***"),
        (b"monkey=1&keys=2&key", b"monkey=1&keys=2&key"),
        (b"metadata%5Bkey%5D=a+b%20", b"metadata%5Bkey%5D=a+b%20"),
        (b"sig=CANARY&X-Amz-Signature=CANARY", b"sig=***&X-Amz-Signature=***"),
    ],
)
def test_s01_secrets_in_queries_are_masked_and_nothing_else(
    query: bytes, masked: bytes
) -> None:
    assert masked == redact.query(query)


def test_a_target_is_path_and_query_on_one_printable_line() -> None:
    assert redact.target(b"/v1/models/a%2Fb") == "/v1/models/a%2Fb"
    assert redact.target(b"/v1/x", b"") == "/v1/x?"
    assert redact.target(b"/v1/x", b"key=CANARY&a=b") == "/v1/x?key=***&a=b"
    assert redact.target(b"/v1/\xc3\r\n", b"\x1b[1m").isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer CANARYKEY1",
        "authorization=bearer CANARYKEY1; next",
        "'authorization': 'Basic CANARYKEY1'",
        "sent bearer CANARYKEY1, refused",
        "Incorrect API key provided: sk-CANARYKEY1.",
        "sk-proj-CANARYKEY1_x",
        "ek_CANARYKEY1",
        '{"api_key": "CANARYKEY1"}',
        "x-api-key: CANARYKEY1",
        "GET /v1?key=CANARYKEY1&b=c",
        "openai-insecure-api-key.CANARYKEY1",
        "https://user:CANARYKEY1@host/x",
        "AIzaCANARYKEY1aaaaaaaaaaaaaaaa",
    ],
)
def test_s03_messages_lose_what_looks_like_a_credential(text: str) -> None:
    assert "CANARYKEY1" not in redact.message(text)
    assert redact.MASK in redact.message(text)


@pytest.mark.parametrize(
    "text",
    ["", "plain words", "connect to https://api.openai.com/v1 failed", "risk-free task-list", "a key: none"],
)  # fmt: skip
def test_plain_messages_stay_as_they_are(text: str) -> None:
    assert text == redact.message(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["bearer ", "://", "sk-", "api_key=", "a", "://a@", "bearer\t"]
)
def test_s45_a_hostile_message_takes_linear_time(piece: str) -> None:
    redact.message(piece * (200_000 // len(piece)))
