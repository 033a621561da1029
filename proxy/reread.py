"""Reads the answer of a kept exchange again: its bytes, its text, its object."""

from proxy.answer import Received, assemble
from proxy.decode import decode
from storage.answers import Answered
from storage.assemble import Kept, Row
from storage.records import HeaderPairs, Json


def whole(kept: Kept) -> dict[str, Json] | None:
    """Return the object that the answer spells, as far as it arrived."""
    return spelled(kept.row, kept.answer_headers, kept.answer)


def spelled(
    row: Row | Answered, headers: HeaderPairs, answer: bytes
) -> dict[str, Json] | None:
    """Return the object that the bytes of a row's answer spell."""
    return assemble(
        row.endpoint,
        Received(
            status=row.status,
            content_type=_header(headers, b"content-type"),
            content_encoding=_header(headers, b"content-encoding"),
            asked_stream=bool(row.streamed),
            chunks=(answer,),
            times_us=(0,),
            ended_clean=row.state == "complete",
        ),
    )


def text(kept: Kept) -> str:
    """Return the answer's body as text; what is no UTF-8 is replaced."""
    coding = _header(kept.answer_headers, b"content-encoding")
    body = decode(kept.answer, coding).data if coding else kept.answer
    return body.decode("utf-8", "replace")


def _header(pairs: HeaderPairs, name: bytes) -> bytes:
    return next((value for key, value in pairs if key.lower() == name), b"")
