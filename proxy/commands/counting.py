"""`spiritsafe stats`: volume, tokens, cost, times, and what became of all accepted."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.filesize import decimal
from rich.table import Table

from proxy.commands import printing
from proxy.commands.errors import WrongUse
from proxy.commands.flags import database
from proxy.commands.opening import opened
from proxy.commands.prices import Prices
from proxy.said import said
from storage.engines.sqlite import wal_bytes
from storage.epochs import Totals
from storage.errors import BadQuery
from storage.queries.pages import newest
from storage.queries.sums import Sums, sums
from storage.queries.tree import Node
from storage.reading import Library
from storage.records import Json

BY = "day,model,upstream"
NUMBERS = (
    "exchanges", "failed", "tokens in", "cached", "tokens out", "cost", "p50 ms",
    "p95 ms", "received",
)  # fmt: skip
VERDICTS = ("judged", "pass")
TITLES = {"day": "day (UTC)"}


class Group(msgspec.Struct):
    """Sums of one line, and what its tokens cost.

    Shapes: `cost` is of those exchanges whose price is known; `unpriced` counts the
    others that were answered.
    """

    sums: Sums = msgspec.field(default_factory=Sums)
    cost: float = 0.0
    unpriced: int = 0


def show_stats(
    db: Path | None,
    query: Node | None = None,
    *,
    by: str = BY,
    prices: Path | None = None,
    as_json: bool = False,
) -> int:
    """Print sums of what matches, and the balance of the whole file."""
    names = list(dict.fromkeys(name.strip() for name in by.split(",")))
    table = Prices.read(prices)
    path = database(db)
    with opened(path) as library:
        groups = _groups(library, query, names, table)
        totals = library.totals()
    disk_bytes = path.stat().st_size + wal_bytes(path)
    if as_json:
        printing.write_json(
            {
                "groups": [_group_json(names, *group) for group in groups],
                "prices": {
                    "date": str(table.date),
                    "currency": table.currency,
                    "checked": table.checked,
                },
                "totals": {**msgspec.to_builtins(totals), "balanced": totals.balanced},
                "disk_bytes": disk_bytes,
            },
            indent=True,
        )
        return 0
    printing.print_table(_table(names, groups))
    _say_rest(table, groups, totals)
    if query is None:
        received = sum(_received(group.sums) for _, group in groups)
        ratio = f": {received / disk_bytes:.1f} to 1" if received else ""
        printing.say(
            f"received {decimal(received)}, on disk {decimal(disk_bytes)}{ratio}"
        )
    return 0


def _groups(
    library: Library, query: Node | None, names: Sequence[str], prices: Prices
) -> list[tuple[tuple[str, ...], Group]]:
    """Return groups by their keys, the newest day first, then by name."""
    groups: dict[tuple[str, ...], Group] = {}
    total = newest(library)
    try:
        with printing.progress("summing up", total) as done:
            # By model too: its tokens have a price of their own.
            for count, found in sums(library, query, [*names, "model"], read=said):
                for (*key, model), part in found:
                    group = groups.setdefault(tuple(key), Group())
                    group.sums.add(part)
                    price = prices.of(model)
                    if price is None:
                        group.unpriced += part.answered
                    else:
                        group.cost += price.cost(part)
                        group.unpriced += part.unmetered
                done(min(count, total))
    except BadQuery as exc:
        raise WrongUse(f"--by: {exc.message}") from exc
    ordered = sorted(groups.items())
    if "day" in names:
        ordered.sort(key=lambda group: group[0][names.index("day")], reverse=True)
    return ordered


def _received(part: Sums) -> int:
    return part.request_bytes + part.answer_bytes


def _group_json(
    names: Sequence[str], key: tuple[str, ...], group: Group
) -> dict[str, Json]:
    told: dict[str, Json] = msgspec.to_builtins(group.sums)
    del told["ms"]
    return {
        **dict(zip(names, key, strict=True)),
        **told,
        "p50_ms": group.sums.percentile_ms(0.5),
        "p95_ms": group.sums.percentile_ms(0.95),
        "pass_ratio": group.sums.pass_ratio,
        "cost": group.cost if _is_priced(group) else None,
        "unpriced": group.unpriced,
    }


def _is_priced(group: Group) -> bool:
    return group.cost > 0 or group.unpriced == 0


def _cost(group: Group) -> str:
    """Return a cost as people read it, with a mark where some of it is not known."""
    if not _is_priced(group):
        return "unknown"
    return f"{group.cost:.4f}" + "+?" * (group.unpriced > 0)


def _table(
    names: Sequence[str], groups: Sequence[tuple[tuple[str, ...], Group]]
) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(printing.cell(TITLES.get(name, name)))
    judged = any(group.sums.judged for _, group in groups)
    for heading in (*NUMBERS, *(VERDICTS if judged else ())):
        table.add_column(heading, justify="right")
    for key, group in groups:
        part = group.sums
        times = (part.percentile_ms(0.5), part.percentile_ms(0.95))
        table.add_row(
            *map(printing.cell, key),
            str(part.exchanges),
            str(part.failed),
            str(part.prompt_tokens),
            str(part.cached_tokens),
            str(part.completion_tokens),
            _cost(group),
            *("" if took is None else str(took) for took in times),
            decimal(_received(part)),
            *(_verdicts(part) if judged else ()),
        )
    return table


def _verdicts(part: Sums) -> tuple[str, str]:
    """Return how many were judged, and the share that passed of valid and invalid."""
    ratio = part.pass_ratio
    return str(part.judged), "" if ratio is None else f"{ratio:.1%}"


def _say_rest(
    prices: Prices, groups: Sequence[tuple[tuple[str, ...], Group]], totals: Totals
) -> None:
    unpriced = sum(group.unpriced for _, group in groups)
    cost = sum(group.cost for _, group in groups)
    missing = f"; of {unpriced} exchanges it is unknown" if unpriced else ""
    doubt = "" if prices.checked else ", unchecked: see 'spiritsafe prices'"
    told = f"{prices.currency} at prices of {prices.date}{doubt}{missing}"
    printing.say(f"\ncost {cost:.4f} {told}")
    printing.say(
        f"accepted {totals.accepted} = {totals.complete} complete"
        f" + {totals.incomplete} incomplete + {totals.unrecorded} unrecorded"
        f" + {totals.in_flight} in flight"
    )
