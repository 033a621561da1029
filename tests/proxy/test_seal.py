"""Sealing: what is digested, and what is too long for the event loop."""

from hashlib import sha256

import pytest

from proxy.budget import Budget
from proxy.rules import Plan
from proxy.seal import INLINE_BYTES, INLINE_CHUNKS, is_short, opened
from proxy.tape import Tape


def tape(request: bytes, sent: bytes, chunks: int = 0) -> Tape:
    """Return a tape with this request and as many one-byte reads."""
    plan = Plan(
        body=sent,
        record=True,
        content_kept=True,
        edits=(),
        tags={},
        dropped_tags=(),
        flags=(),
        schema=None,
        streamed=True,
        model_asked="",
        prompt_preview="",
        previous_response_id="",
        retry_count=0,
    )
    made = Tape(
        id="ex_1",
        key=None,
        plan=plan,
        endpoint="chat",
        project="anonymous",
        upstream="default",
        target="/",
        request=request,
        request_headers=(),
        created_at=0,
        started_ns=0,
        max_kept_bytes=INLINE_BYTES * 2,
        room=Budget(INLINE_BYTES * 2, wait_s=1),
    )
    for at in range(chunks):
        made.add(b"x", at)
    return made


@pytest.mark.parametrize("sent", [b"asked", b"asked more"])
def test_both_digests_are_told_whether_edited_or_not(sent: bytes) -> None:
    asked = b"asked"
    made = opened(tape(asked, asked if sent == asked else sent))
    assert sha256(asked).digest() == made.request_sha256
    assert sha256(sent).digest() == made.sent_sha256


def test_the_first_of_two_headers_counts_in_any_case() -> None:
    made = tape(b"", b"")
    made.answered(200, [(b"Content-Type", b"a"), (b"content-type", b"b"), (b"X", b"")])
    assert (made.status, made.header(b"content-type")) == (200, b"a")
    assert (made.header(b"x"), made.header(b"y")) == (b"", b"")


@pytest.mark.parametrize(
    ("request_bytes", "chunks", "short"),
    [
        (10, INLINE_CHUNKS, True),
        (10, INLINE_CHUNKS + 1, False),
        (INLINE_BYTES - 1, 1, True),
        (INLINE_BYTES, 1, False),
    ],
)
def test_a_long_request_and_many_reads_are_sealed_elsewhere(
    request_bytes: int, chunks: int, *, short: bool
) -> None:
    body = b"x" * request_bytes
    assert short == is_short(tape(body, body, chunks))
