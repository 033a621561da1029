"""Reads times as people write them: a date, a moment, or how long ago."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.](\d{1,6}))?)?"
    r"(Z|[+-]\d\d:?\d\d)?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_AGO = re.compile(r"(\d{1,6})([smhdw])", re.ASCII | re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MONTHS = 12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Span(NamedTuple):
    """What a time as written covers: a day, a minute, or a single moment.

    Units: microseconds since the epoch, UTC; `end_at` is the first after it.
    """

    start_at: int
    end_at: int


def span(text: str, *, now_at: int) -> Span | None:
    """Return what a text covers; None where it is no time.

    Shapes: `2026`, `2026-11`, `2026-11-01`, `2026-11-01T15:04`, seconds and fractions
    of them, with `Z` or an offset (UTC else); `today`, `yesterday`; `90s`, `30m`,
    `24h`, `7d`, `2w` before `now_at`, which is a moment.

    >>> span("2026-11-01", now_at=0)
    Span(start_at=1793491200000000, end_at=1793577600000000)
    >>> span("30m", now_at=1_800_000_001)
    Span(start_at=1, end_at=1)
    """
    word = text.lower()
    if word in {"today", "yesterday"}:
        day = _EPOCH + timedelta(microseconds=now_at)
        start = day.replace(hour=0, minute=0, second=0, microsecond=0)
        start -= timedelta(days=word == "yesterday")
        return Span(_micros(start), _micros(start + timedelta(days=1)))
    if ago := _AGO.fullmatch(text):
        moment_at = now_at - int(ago[1]) * _UNIT_S[ago[2].lower()] * 1_000_000
        return Span(moment_at, moment_at)
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        return _dated(found)
    except (ValueError, OverflowError):  # a thirteenth month, the end of year 9999
        return None


def _dated(found: re.Match[str]) -> Span:
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    start = datetime(
        int(year),
        int(month or 1),
        int(day or 1),
        int(hour or 0),
        int(minute or 0),
        int(second or 0),
        int((fraction or "").ljust(6, "0")),
        _zone(zone),
    )
    if month is None:
        end = start.replace(year=start.year + 1)
    elif day is None:
        end = start.replace(
            year=start.year + start.month // _MONTHS, month=start.month % _MONTHS + 1
        )
    elif hour is None:
        end = start + timedelta(days=1)
    elif second is None:
        end = start + timedelta(minutes=1)
    elif fraction is None:
        end = start + timedelta(seconds=1)
    else:
        end = start + timedelta(microseconds=10 ** (6 - len(fraction)))
    return Span(_micros(start), _micros(end))


def _zone(text: str | None) -> timezone:
    if text is None or text.upper() == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
