"""What a row looks like: an object for programs, a line of a table for people."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.cells import cell_len
from rich.table import Table

from proxy.commands import plain
from proxy.commands.printing import cell
from proxy.stitch.values import read_json
from storage.assemble import Row
from storage.records import Json

SHORT_ID = 19
"""Time to a 4096th of a millisecond, in which a process gives out one id (`Ids`)."""

GAP = 2
LEAST_PREVIEW = 20


def moment(at_us: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC."""
    if at_us is None:
        return None
    when = datetime.fromtimestamp(at_us / 1e6, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(row: Row) -> dict[str, Json]:
    """Return a row as programs get it. Units: `_ms` milliseconds, times in UTC."""
    return {
        "id": row.id,
        "created_at": moment(row.created_at),
        "state": row.state,
        "reason": row.reason,
        "status": row.status,
        "endpoint": row.endpoint,
        "upstream": row.upstream,
        "target": row.target,
        "streamed": bool(row.streamed),
        "model_asked": row.model_asked,
        "model_served": row.model_served,
        "completion_id": row.completion_id,
        "finish_reason": row.finish_reason,
        "schema": row.schema,
        "verdict": row.verdict,
        "error_path": row.error_path,
        "usage": {
            "prompt_tokens": row.prompt_tokens,
            "cached_tokens": row.cached_tokens,
            "completion_tokens": row.completion_tokens,
            "reasoning_tokens": row.reasoning_tokens,
        },
        "tags": row.tags,
        "first_token_ms": after_ms(row, row.first_token_at),
        "duration_ms": after_ms(row, row.ended_at),
        "own_ms": row.own_us / 1000,
        "content_kept": bool(row.content_kept),
        "prompt_preview": row.prompt_preview,
        "answer_preview": row.answer_preview,
        "request_bytes": row.request_size,
        "answer_bytes": row.answer_size,
        "project": row.project,
        "error": error_of(row),
    }


def after_ms(row: Row, at_us: int | None) -> float | None:
    """Return how long after the start of an exchange something was."""
    return None if at_us is None else (at_us - row.created_at) / 1000


def error_of(row: Row) -> Json:
    """Return the error object of an exchange, its text where it cannot be read."""
    if row.error is None:
        return None
    try:
        return read_json(row.error)
    except (ValueError, RecursionError):
        return row.error.decode("utf-8", "replace")


def ending(row: Row) -> str:
    """Return status, and what is missing from the exchange."""
    missing = row.state if row.state == "open" else row.reason or ""
    return f"{row.status or '-'} {missing}".strip()


def _ending_or_verdict(row: Row) -> str:
    """Return how an exchange ended, or what its schemas say where it ended well."""
    if row.state != "complete" or row.verdict is None:
        return ending(row)
    return f"{row.status} {row.verdict}"


class Column(NamedTuple):
    """One column of a list, at most so many cells wide."""

    title: str
    widest: int
    read: Callable[[Row], str]
    right: bool = False


def _day_and_time(row: Row) -> str:
    return datetime.fromtimestamp(row.created_at / 1e6, UTC).strftime("%m-%d %H:%M:%S")


def _tokens(row: Row) -> str:
    counts = (row.prompt_tokens, row.completion_tokens)
    if counts == (None, None):
        return ""
    return "/".join("-" if count is None else str(count) for count in counts)


def _milliseconds(row: Row) -> str:
    took_ms = after_ms(row, row.ended_at)
    return "" if took_ms is None else f"{took_ms:.0f}"


def tags_of(row: Row) -> str:
    """Return the tags of a row as people write them."""
    return " ".join(f"{key}={value}" for key, value in row.tags.items())


COLUMNS: Final = (
    Column("time (UTC)", 14, _day_and_time),
    Column("id", SHORT_ID, lambda row: row.id[:SHORT_ID]),
    Column("model", 24, lambda row: row.model_served or row.model_asked),
    Column("status", 22, _ending_or_verdict),
    Column("~", 1, lambda row: "~" if row.streamed else ""),
    Column("in/out", 13, _tokens, right=True),
    Column("ms", 8, _milliseconds, right=True),
    Column("tags", 28, tags_of),
)
GOES_FIRST: Final = ("tags", "ms", "in/out", "~", "model", "time (UTC)")
"""Columns that a narrow terminal does without, in this order."""


def preview(row: Row, width: int) -> str:
    """Return the start of what was asked and of what came back, on one line."""
    if not row.content_kept:
        return plain.fitted("(content not kept)", width)
    asked = plain.line(row.prompt_preview)
    got = plain.line(row.answer_preview or _complaint(row))
    room = max(0, width - len(" → "))
    half = room - min(cell_len(got), room // 2)
    asked = plain.fitted(asked, half)
    return f"{asked} → {plain.fitted(got, room - cell_len(asked))}"


def _complaint(row: Row) -> str:
    error = error_of(row)
    said = error.get("message") if isinstance(error, dict) else error
    return "" if said is None else f"! {said}"


def table(
    rows: Sequence[Row],
    width: int,
    *,
    steady: bool = False,
    header: bool = True,
    title: str = "prompt → answer",
    tell: Callable[[Row, int], str] = preview,
) -> Table:
    """Return rows as a table, `~` marks streams.

    Shapes: a `steady` table has columns of fixed widths, to be continued by the next;
    `tell` says what its last column has, in as many cells as are left.
    """
    shown = {
        column: [plain.line(column.read(row)) for row in rows] for column in COLUMNS
    }
    widths = {
        column: column.widest
        if steady
        else min(column.widest, max(map(cell_len, (column.title, *texts))))
        for column, texts in shown.items()
    }
    for gone in GOES_FIRST:
        if width - _taken(widths) >= LEAST_PREVIEW:
            break
        widths = {c: cells for c, cells in widths.items() if c.title != gone}
    room = max(0, width - _taken(widths))
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=header)
    for column, cells in widths.items():
        made.add_column(
            column.title,
            width=cells,
            no_wrap=True,
            justify="right" if column.right else "left",
        )
    made.add_column(title, width=room, no_wrap=True)
    for number, row in enumerate(rows):
        cells_of = (plain.fitted(shown[c][number], widths[c]) for c in widths)
        style = "red" if row.status >= 400 or row.state == "incomplete" else ""
        made.add_row(
            *(cell(text) for text in cells_of), cell(tell(row, room)), style=style
        )
    return made


def _taken(widths: dict[Column, int]) -> int:
    return sum(widths.values()) + GAP * len(widths) + GAP
