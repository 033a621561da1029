"""Writes recordings as training files, row by row; what is left out is counted."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import msgspec

from distill.errors import Reason
from distill.formats import Format
from distill.pairs import Pair

MIN_LINES: Final = 10  # OpenAI refuses a training file with fewer (wire.md 6.4)

SENTENCES: Final[dict[Reason, str]] = {
    "incomplete": "did not end as they should",
    "status": "were answered with an error",
    "content_not_kept": "are kept without content: opted out, removed, or a key in it",
    "endpoint": "are of an endpoint that has no messages",
    "unreadable": "could not be read as a request and an answer",
    "prompt_elsewhere": "refer to earlier turns or prompts that the upstream holds",
    "length": "were cut at the token limit",
    "content_filter": "were stopped by a content filter",
    "finish_reason": "ended for another reason than being done",
    "refusal": "are refusals",
    "too_long": "are longer than a training example may be",
    "empty_message": "have a message without content",
    "broken_turns": "have turns in an order that training refuses",
    "unsupported_content": "hold audio, files or images that training does not take",
    "unsupported_tool": "use tools other than functions",
    "invalid": "are not what their schema describes",
    "no_reask": "do not ask again for what was answered wrongly",
    "not_valid": "asked again, and no valid answer came",
    "not_set_right": "ask again for what no schema of theirs finds wrong any more",
    "several_choices": "have several choices, of which no pair is made",
}


class Report(msgspec.Struct, frozen=True):
    """What an export did.

    Shapes: `skipped` counts exchanges, or single choices of them, by reason.
    """

    exchange_count: int
    line_count: int
    skipped: dict[Reason, int]

    def sentences(self) -> list[str]:
        """Return what to tell the person who asked."""
        told = [f"{self.line_count} lines from {self.exchange_count} exchanges."]
        told += (f"Left out: {n} {SENTENCES[why]}." for why, n in self.skipped.items())
        if 0 < self.line_count < MIN_LINES:
            told.append(f"OpenAI wants at least {MIN_LINES} lines in a training file.")
        return told


def write(rows: Iterable[Pair], form: Format, out: IO[bytes]) -> Report:
    """Write the lines of `rows` to `out` as they come, and return what happened.

    Shapes: one JSON object per line in ASCII, so that text no UTF-8 can hold (a lone
    surrogate) survives as the escape it was.
    """
    exchange_count = line_count = 0
    skipped: Counter[Reason] = Counter()
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
    for pair in rows:
        exchange_count += 1
        for example in form(pair):
            if isinstance(example, str):
                skipped[example] += 1
                continue
            try:
                line = encode(example)
            except ValueError:  # a tool's schema holds NaN, or a number like 1e400
                skipped["unreadable"] += 1
                continue
            out.write(line.encode("ascii") + b"\n")
            line_count += 1
    return Report(exchange_count, line_count, dict(skipped.most_common()))


def write_file(rows: Iterable[Pair], form: Format, path: Path) -> Report:
    """Write the lines of `rows` to a file that appears whole or not at all.

    The file is the owner's alone (0600): it holds what people asked.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as out:
        try:
            report = write(rows, form, out)
            out.flush()
            os.fsync(out.fileno())
            Path(out.name).replace(path)
        except BaseException:
            Path(out.name).unlink()
            raise
    return report
