"""`spiritsafe tag`, `rm` and `prune`: changes what is kept, and what no longer is."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from proxy.commands import printing
from proxy.commands.errors import NotFound, WrongUse
from proxy.commands.flags import database, settings_from, tags_from
from proxy.commands.opening import found, opened
from proxy.commands.wishing import fulfil
from proxy.housekeeping import policy_of
from proxy.inject import MAX_KEY_CHARACTERS, MAX_VALUE_CHARACTERS
from proxy.said import said
from proxy.settings import MOST_BYTES, MOST_DAYS
from storage.errors import BadQuery
from storage.queries.language import parse
from storage.queries.pages import page
from storage.reading import Library
from storage.retention import Policy
from storage.upkeep import Report
from storage.wishes import Wish
from storage.writable import writable

_AT_ONCE = 500
_BUSY = (
    "somebody reads the file, or its index is being made: some bytes of what was "
    "removed may be left. 'spiritsafe prune' tries again"
)
_MIB = 1024 * 1024


def tag(
    db: Path | None,
    names: Sequence[str],
    *,
    query: str | None,
    add: Sequence[str],
    drop: Sequence[str],
    as_json: bool = False,
) -> int:
    """Add tags to exchanges, and take others from them."""
    pairs = tags_from(list(add))
    for key, value in pairs.items():
        if not _fits(key, value):
            raise WrongUse(
                f"--add '{key[:MAX_KEY_CHARACTERS]}': a key has up to "
                f"{MAX_KEY_CHARACTERS} characters and a value up to "
                f"{MAX_VALUE_CHARACTERS}"
            )
    if not pairs and not drop:
        raise WrongUse("say what to change: --add key=value or --drop key")
    path, seqs = _chosen(db, names, query)
    masked = settings_from({}).mask_tags(pairs)
    wish = Wish(do="tag", seqs=seqs, add=masked, drop=list(drop))
    report = fulfil(path, wish)
    return _tell(report, f"{report.tagged} tagged", as_json=as_json)


def rm(
    db: Path | None,
    names: Sequence[str],
    *,
    query: str | None,
    yes: bool = False,
    as_json: bool = False,
) -> int:
    """Remove exchanges, with every byte of theirs that no other needs."""
    path, seqs = _chosen(db, names, query)
    if query is not None and not yes:
        printing.tell(f"spiritsafe: {len(seqs)} exchanges match: add --yes to remove")
        return 1
    report = fulfil(path, Wish(do="remove", seqs=seqs))
    return _tell(report, f"{report.removed} removed", as_json=as_json)


def prune(
    db: Path | None,
    *,
    bodies_days: float | None = None,
    rows_days: float | None = None,
    most_bytes: int | None = None,
    as_json: bool = False,
) -> int:
    """Let go what the settings, or these flags, keep no longer."""
    for flag, value, most in (
        ("--bodies-days", bodies_days, MOST_DAYS),
        ("--rows-days", rows_days, MOST_DAYS),
        ("--most-bytes", most_bytes, MOST_BYTES),
    ):
        if value is not None and value > most:
            raise WrongUse(f"{flag}: the most is {most}")
    path = database(db)
    with opened(path):
        pass  # there is a file of ours
    policy = policy_of(settings_from({}))
    given = (bodies_days, rows_days, most_bytes)
    if any(value is not None for value in given):
        policy = Policy(
            bodies_days=bodies_days or 0,
            rows_days=rows_days or 0,
            most_bytes=most_bytes or 0,
        )
    report = fulfil(path, Wish(do="prune", policy=policy))
    done = f"{report.removed} removed, of {report.stripped} the content"
    return _tell(report, done, as_json=as_json)


def _tell(report: Report, done: str, *, as_json: bool) -> int:
    if as_json:
        printing.write_json(msgspec.to_builtins(report))
    else:
        printing.say(done)
        if freed := report.bytes_before - report.bytes_after:
            printing.say(f"{freed / _MIB:.1f} MiB less in use")
    if not report.clean:
        printing.tell(f"spiritsafe: {report.why or _BUSY}")
        return 1
    return 0


def _chosen(
    db: Path | None, names: Sequence[str], query: str | None
) -> tuple[Path, list[int]]:
    """Return the file, and the rows that are named or that match."""
    path = database(db)
    if bool(names) == (query is not None):
        raise WrongUse("name exchanges by their ids, or choose them with --query")
    with opened(path) as library:
        if query is None:
            return path, [found(library, name).seq for name in names]
        seqs = _matching(library, query)
    if not seqs:
        raise NotFound(f"{path}: no exchange matches")
    return path, seqs


def _matching(library: Library, query: str) -> list[int]:
    seqs: list[int] = []
    try:
        node = parse(query)
        if node is None:
            raise WrongUse("--query '' matches everything: say what")
        cursor: str | None = None
        while True:
            at = page(library, node, cursor=cursor, limit=_AT_ONCE, read=said)
            seqs += [row.seq for row in at.rows]
            cursor = at.cursor
            if cursor is None:
                return seqs
    except BadQuery as exc:
        raise WrongUse(f"--query: {exc}") from exc


def _fits(key: str, value: str) -> bool:
    text = key + value
    short = len(key) <= MAX_KEY_CHARACTERS and len(value) <= MAX_VALUE_CHARACTERS
    return short and text.isprintable() and writable(text) == text
