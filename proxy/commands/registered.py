"""What a version and a binding look like: objects for programs, lines for people."""

from collections.abc import Sequence

import msgspec
from rich.table import Table

from proxy.commands import rows
from proxy.commands.printing import cell
from storage.records import Json
from storage.schemas import Binding, Rule, Version


def version_json(its: Version) -> dict[str, Json]:
    """Return a version without its document. Units: times in UTC."""
    return {
        "object": "schema",
        "ref": its.ref,
        "name": its.name,
        "version": its.version,
        "digest": its.digest.hex(),
        "document_bytes": len(its.document),
        "source": its.source,
        "created_at": rows.moment(its.created_at),
    }


def added_json(its: Version, *, new: bool) -> dict[str, Json]:
    """Return a version that was added, and whether it was not there before."""
    return {**version_json(its), "new": new}


def whole_json(its: Version, versions: Sequence[int]) -> bytes:
    """Return a version with its document as it was given, and which ones there are."""
    told = {
        **version_json(its),
        "document": msgspec.Raw(its.document),
        "versions": versions,
    }
    return msgspec.json.encode(told)


def binding_json(its: Binding) -> dict[str, Json]:
    """Return a binding, with all that its rule could name."""
    rule = its.rule
    return {
        "object": "binding",
        "id": its.id,
        "schema": its.schema,
        "rule": {name: getattr(rule, name) for name in Rule.__struct_fields__},
        "policy": its.policy,
        "attempts": its.attempts,
    }


def words(rule: Rule) -> str:
    """Return what a rule asks, as the flags say it.

    >>> words(Rule(model="gpt-4o*", tags={"task": "x"}, format_name="Invoice"))
    'model=gpt-4o* tag.task=x format-name=Invoice'
    >>> words(Rule())
    'everything'
    """
    told = {f"tag.{key}": value for key, value in rule.tags.items()}
    told = {"model": rule.model, **told}
    for name in Rule.__struct_fields__:
        if name not in {"model", "tags"}:
            told[name.replace("_", "-")] = getattr(rule, name)
    return " ".join(f"{name}={it}" for name, it in told.items() if it) or "everything"


def version_table(versions: Sequence[Version]) -> Table:
    """Return versions as a table."""
    made = _table("schema", "since (UTC)", "from", "bytes")
    for its in versions:
        since = rows.moment(its.created_at) or ""
        made.add_row(*map(cell, (its.ref, since, its.source, str(len(its.document)))))
    return made


def binding_table(bindings: Sequence[Binding]) -> Table:
    """Return bindings as a table, in the order in which they are asked."""
    made = _table("id", "schema", "applies to", "policy")
    for its in bindings:
        asks = its.policy == "repair"
        policy = f"repair, {its.attempts} attempts" if asks else its.policy
        made.add_row(*map(cell, (str(its.id), its.schema, words(its.rule), policy)))
    return made


def _table(*titles: str) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        made.add_column(title, no_wrap=True)
    return made
