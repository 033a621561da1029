"""Takes the declared edits out of a body again, without any code of the proxy's."""

import json
from json.decoder import scanstring  # type: ignore[attr-defined]  # unknown to typeshed

from storage.records import Edit

SPACE = " \t\r\n"
_DECODER = json.JSONDecoder(strict=False)


def undo(sent: bytes, received: bytes, edits: tuple[Edit, ...]) -> bytes:
    """Return what was sent without these edits.

    Shapes: an added member is the first of the object; of a replaced one the value that
    `received` has is put back.
    """
    at = sent.index(b"{") + 1 if edits else 0
    opening, rest = sent[:at], sent[at:]
    replaced = []
    for edit in edits:
        added = json.dumps(edit.member).encode() + b":" + edit.value.encode()
        if rest.startswith(added):
            rest = rest[len(added) :].removeprefix(b",")
        else:
            replaced.append(edit)
    body = opening + rest
    for edit in replaced:
        start, stop = place(body, edit.member)
        assert edit.value.encode() == body[start:stop]
        first, last = place(received, edit.member)
        body = body[:start] + received[first:last] + body[stop:]
    return body


def place(body: bytes, member: str) -> tuple[int, int]:
    """Return where the value of a top-level member starts and stops."""
    text = body.decode("latin-1")  # a character for each byte
    at = text.index("{") + 1
    while True:
        key, at = scanstring(text, skip(text, at, ",") + 1, False)
        at = skip(text, at, ":")
        _, stop = _DECODER.raw_decode(text, at)
        if key == member:
            return at, stop
        at = stop


def skip(text: str, at: int, mark: str) -> int:
    """Return where white space and marks end."""
    while text[at] in SPACE + mark:
        at += 1
    return at
