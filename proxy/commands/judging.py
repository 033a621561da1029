"""`spiritsafe schema test`: judges what was recorded by one version of a schema."""

import asyncio
from hashlib import sha256
from pathlib import Path

from rich.table import Table

from proxy.commands import printing
from proxy.commands.asking import asked
from proxy.commands.errors import CannotStart, NotFound, WrongUse
from proxy.commands.flags import database
from proxy.commands.opening import opened
from proxy.commands.wishing import fulfil
from proxy.schemas.admit import admit
from proxy.schemas.document import SchemaRefused
from proxy.schemas.history import WHY
from proxy.schemas.judge import Bound
from proxy.schemas.spread import Job, cores
from proxy.schemas.tally import Findings
from proxy.schemas.trial import Keep, bound_of, trial
from storage.errors import NoSuchSchema
from storage.judgements import Rejudged
from storage.queries.pages import newest
from storage.queries.tree import Node
from storage.reading import Library
from storage.registry import find
from storage.wishes import Wish

MOST_SHOWN = 20

SKIPPED = {
    "open": "have not ended",
    "status": "were answered with an error",
    "content_not_kept": "are kept without content",
    "damaged": "cannot be read",
    "nothing_to_judge": "have no text and no call to judge",
}


def judge_recorded(
    db: Path | None,
    name: str,
    *,
    where: str = "",
    tool: str = "",
    apply: bool = False,
    processes: int = 0,
    as_json: bool = False,
) -> int:
    """Judge what matches by a registered version, or by a file that is none yet."""
    query = asked([where]) if where else None
    path = database(db)
    told: list[int] = []
    keep = _keeper(path, told) if apply else None
    with opened(path) as library:
        bound = _bound(library, name, tool)
        if apply and not bound.ref:
            raise WrongUse(
                "--apply: register the schema first, with 'spiritsafe schema add'"
            )
        job = Job(path, bound, wants_all=apply)
        findings = _tried(library, job, query, keep=keep, processes=processes)
    if told:  # who asks again is known once the verdicts are
        fulfil(path, Wish(do="link", seqs=told))
    if as_json:
        report = {"schema": bound.ref or name, "applied": apply, **findings.report()}
        printing.write_json(report, indent=True)
    else:
        _say(bound.ref or name, findings, applied=apply)
    return 0


def _tried(
    library: Library,
    job: Job,
    query: Node | None,
    *,
    keep: Keep | None,
    processes: int,
) -> Findings:
    workers = processes or cores()
    total = newest(library) if query is None else None
    with printing.progress("judging", total) as done:
        try:
            return trial(library, job, query, workers=workers, keep=keep, done=done)
        except RuntimeError as exc:
            raise CannotStart(str(exc)) from exc


def _bound(library: Library, name: str, tool: str) -> Bound:
    """Return what a registered name or a file of JSON stands for."""
    try:
        return bound_of(find(library.connection, name), tool=tool)
    except NoSuchSchema as exc:
        if not Path(name).is_file():
            raise NotFound(
                f"{exc}: 'spiritsafe schema list' shows what there is"
            ) from exc
    try:
        document = Path(name).read_bytes()
        asyncio.run(admit("candidate", document))
    except OSError as exc:
        raise CannotStart(f"{name} cannot be read: {exc.strerror}") from exc
    except SchemaRefused as exc:
        where = exc.path or "the whole"
        raise WrongUse(f"{name}, at {where}: {exc.message}") from exc
    return Bound("", sha256(document).digest(), document, WHY, tool)


def _keeper(path: Path, told: list[int]) -> Keep:
    """Return what has judgements kept, by whoever owns the file, and notes of which."""

    def keep(judged: list[Rejudged]) -> None:
        fulfil(path, Wish(do="judge", judged=judged))
        told.extend(one.seq for one in judged)

    keep([])  # a file of an old make is written anew before anybody reads it
    return keep


def _say(name: str, findings: Findings, *, applied: bool) -> None:
    ratio = findings.pass_ratio
    told = "" if ratio is None else f"; {ratio:.1%} of valid and invalid ones pass"
    printing.say(
        f"{name}: {findings.judged} of {findings.exchanges} exchanges judged{told}"
    )
    for verdict, count in sorted(findings.verdicts.items()):
        printing.say(f"  {verdict:<10} {count}{_were(findings, verdict)}")
    for reason, count in findings.reasons.items():
        printing.say(f"Unchecked: {count} ({reason}).")
    for why, count in findings.skipped.items():
        printing.say(f"Not judged: {count} {SKIPPED[why]}.")
    if findings.places:
        printing.say("")
        printing.print_table(_table(findings))
    if applied:
        printing.say("\nThe verdicts are kept, beside the ones there were.")


def _were(findings: Findings, verdict: str) -> str:
    """Return what these were before, where any had another verdict."""
    before = {
        was: count
        for (was, now), count in findings.changes.items()
        if now == verdict and was not in {"", verdict}
    }
    told = ", ".join(f"{count} {was}" for was, count in sorted(before.items()))
    return f"  ({told} before)" if told else ""


def _table(findings: Findings) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("exchanges", justify="right")
    for heading in ("first error at", "by", "such as", "in"):
        table.add_column(heading)
    places = sorted(findings.places.values(), key=lambda its: (-its.count, its.at))
    for place in places[:MOST_SHOWN]:
        table.add_row(
            str(place.count),
            printing.cell(place.at or "the whole"),
            printing.cell(place.rule),
            printing.cell(place.message),
            printing.cell(place.examples[0]),
        )
    if len(places) > MOST_SHOWN:
        table.add_row("", f"and {len(places) - MOST_SHOWN} more places: see --json")
    return table
