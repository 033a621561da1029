"""Claims about what of a request target never reaches a record."""

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
