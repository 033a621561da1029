"""Tries a schema on what was recorded: all that a filter matches, added up."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeAlias

from proxy.said import said
from proxy.schemas.history import WHY
from proxy.schemas.judge import Bound, summary
from proxy.schemas.spread import AT_ONCE, Job, spread
from proxy.schemas.tally import Findings
from storage.answers import Chosen
from storage.judgements import Rejudged
from storage.queries.pages import everything, newest
from storage.queries.tree import Node
from storage.reading import Library
from storage.schemas import Version

KEPT_AT_ONCE = 5000
"""Exchanges whose judgements wait to be kept."""

Keep: TypeAlias = Callable[[list[Rejudged]], None]


def bound_of(version: Version, *, tool: str = "") -> Bound:
    """Return a version as what applies to all that is judged."""
    return Bound(version.ref, version.digest, version.document, WHY, tool)


def trial(
    library: Library,
    job: Job,
    query: Node | None,
    *,
    workers: int,
    keep: Keep | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> Findings:
    """Return what judging all that matches found.

    Shapes: `keep` gets all judgements, where the job is to tell them; `done` is told
    how many exchanges are judged so far.
    Raises: `RuntimeError` where a process that judged ended by itself.
    """
    findings, waiting = Findings(), list[Rejudged]()
    with closing(spread(job, _tasks(library, query), workers=workers)) as found:
        for verdicts in found:
            findings.merge(verdicts.findings)
            done(findings.exchanges)
            waiting += (
                Rejudged(
                    seq=seq,
                    judgements=judgements,
                    schema=schema,
                    verdict=verdict,
                    error_path=path,
                )
                for seq, judgements in verdicts.judgements
                for schema, verdict, path in (summary(judgements),)
            )
            if keep is not None and len(waiting) >= KEPT_AT_ONCE:
                keep(waiting)
                waiting = []
    if keep is not None and waiting:
        keep(waiting)
    return findings


def _tasks(library: Library, query: Node | None) -> Iterator[Chosen]:
    last = newest(library)
    if query is None:
        for low in range(1, last + 1, AT_ONCE):
            yield (low, min(low + AT_ONCE - 1, last))
        return
    seqs: list[int] = []
    for row in everything(library, query, read=said):
        seqs.append(row.seq)
        if len(seqs) == AT_ONCE:
            yield seqs
            seqs = []
    if seqs:
        yield seqs
