"""`spiritsafe stats`: volume, tokens and failures, and what became of all accepted."""

from pathlib import Path

import msgspec
from rich.filesize import decimal
from rich.table import Table

from proxy.commands import printing
from proxy.commands.flags import database
from proxy.commands.opening import opened
from storage.engines.sqlite import wal_bytes
from storage.epochs import Totals
from storage.reading import NO_FILTERS, Filters, Stats
from storage.records import Json

HEADINGS = ("day (UTC)", "model", "upstream")
NUMBERS = ("exchanges", "failed", "tokens in", "tokens out", "received")


def show_stats(
    db: Path | None, *, filters: Filters = NO_FILTERS, as_json: bool = False
) -> int:
    """Print sums by day, model and upstream, and those of the whole file."""
    path = database(db)
    with opened(path) as library:
        groups = _without_states(library.stats(filters=filters))
        totals = library.totals()
    disk_bytes = path.stat().st_size + wal_bytes(path)
    if as_json:
        printing.write_json(
            {
                "groups": [_group_json(group) for group in groups],
                "totals": _totals_json(totals),
                "disk_bytes": disk_bytes,
            },
            indent=True,
        )
        return 0
    printing.print_table(_table(groups))
    printing.say(
        f"\naccepted {totals.accepted} = {totals.complete} complete"
        f" + {totals.incomplete} incomplete + {totals.unrecorded} unrecorded"
        f" + {totals.in_flight} in flight"
    )
    if filters == NO_FILTERS:
        received = sum(group.request_bytes + group.answer_bytes for group in groups)
        ratio = f": {received / disk_bytes:.1f} to 1" if received else ""
        printing.say(
            f"received {decimal(received)}, on disk {decimal(disk_bytes)}{ratio}"
        )
    return 0


def _without_states(groups: list[Stats]) -> list[Stats]:
    """Return groups by day, model and upstream alone, the newest day first."""
    added: dict[tuple[str, str, str], Stats] = {}
    for group in groups:
        key = (group.day, group.model, group.upstream)
        known = added.get(key)
        added[key] = group if known is None else _sum(known, group)
    return [added[key] for key in sorted(added, key=lambda key: key[0], reverse=True)]


def _sum(one: Stats, other: Stats) -> Stats:
    return msgspec.structs.replace(
        one,
        exchanges=one.exchanges + other.exchanges,
        failed=one.failed + other.failed,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        completion_tokens=one.completion_tokens + other.completion_tokens,
        request_bytes=one.request_bytes + other.request_bytes,
        answer_bytes=one.answer_bytes + other.answer_bytes,
    )


def _group_json(group: Stats) -> dict[str, Json]:
    made: dict[str, Json] = msgspec.to_builtins(group)
    return {name: value for name, value in made.items() if name != "state"}


def _totals_json(totals: Totals) -> dict[str, Json]:
    return {**msgspec.to_builtins(totals), "balanced": totals.balanced}


def _table(groups: list[Stats]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading)
    for heading in NUMBERS:
        table.add_column(heading, justify="right")
    for group in groups:
        numbers = (
            group.exchanges,
            group.failed,
            group.prompt_tokens,
            group.completion_tokens,
        )
        table.add_row(
            group.day,
            printing.cell(group.model),
            printing.cell(group.upstream),
            *map(str, numbers),
            decimal(group.request_bytes + group.answer_bytes),
        )
    return table
