"""`spiritsafe export`: recordings as training lines, one row in memory at a time."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from distill.export import Report, write, write_file
from distill.formats import FORMATS
from distill.pairs import Pair
from proxy import reread
from proxy.commands import printing
from proxy.commands.errors import CannotStart, WrongUse
from proxy.commands.opening import opened
from proxy.said import said
from storage.assemble import Row
from storage.judgements import standing
from storage.missteps import find_missteps
from storage.queries.pages import everything
from storage.queries.tree import Node
from storage.reading import Library
from storage.reasks import link_of
from storage.records import Verdict
from storage.verify import DAMAGE

TOLD_EVERY = 100

_GONE = Pair(
    endpoint="chat",
    state="complete",
    status=200,
    content_kept=False,
    request=b"",
    answer=None,
)


def export(
    db: Path | None, query: Node | None = None, *, form: str, out: str = "-"
) -> int:
    """Write the lines to a file, or to stdout, and what was left out to stderr."""
    formats = dict(FORMATS)
    if form not in formats:
        raise WrongUse(f"--format '{form}': write {', '.join(formats)}")
    with opened(db) as library, printing.progress("exporting", None) as done:
        pairs = _pairs(library, query, done)
        if out == "-":
            report = write(pairs, formats[form], sys.stdout.buffer)
            printing.flush()
        else:
            report = _to_file(pairs, form, Path(out))
    for sentence in report.sentences():
        printing.tell(sentence)
    return 0


def _to_file(pairs: Iterator[Pair], form: str, path: Path) -> Report:
    try:
        return write_file(pairs, dict(FORMATS)[form], path)
    except OSError as exc:
        raise CannotStart(
            f"cannot write {path}: {exc.strerror}: name another file with --out"
        ) from exc


def _pairs(
    library: Library, query: Node | None, done: Callable[[int], None]
) -> Iterator[Pair]:
    for number, row in enumerate(everything(library, query, read=said), 1):
        yield _pair(library, row)
        if number % TOLD_EVERY == 0:
            done(number)


def _pair(library: Library, row: Row) -> Pair:
    """Return what a format takes, with the attempt that this one is to set right."""
    pair = _alone(library, row)
    link = link_of(library.connection, row.seq)
    if link is None:
        return pair
    root = library.numbered(link.root)
    first = _GONE if root is None else _alone(library, root)
    return msgspec.structs.replace(pair, first=first)


def _alone(library: Library, row: Row) -> Pair:
    """Return one exchange; of a damaged row an empty pair, which no format can."""
    request, answer = b"", None
    verdicts: dict[str | bytes, Verdict] = {}
    if row.content_kept:
        try:
            kept = library.whole(row)
        except DAMAGE:
            kept = None
        if kept is not None:
            request, answer = kept.request, reread.whole(kept)
            verdicts = standing(kept.judgements)
    return Pair(
        endpoint=row.endpoint,
        state=row.state,
        status=row.status,
        content_kept=bool(row.content_kept),
        request=request,
        answer=answer,
        verdict=row.verdict,
        verdicts=verdicts,
        wrong=partial(find_missteps, library.connection, row, request),
    )
