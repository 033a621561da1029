"""The command line of what `spiritsafe schema` does with recordings: passes on."""

from pathlib import Path
from typing import Annotated

import typer

Db = Annotated[Path | None, typer.Option("--db", help="The file of recordings.")]
AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]
Where = Annotated[str, typer.Option(help="A filter, such as tag.task:invoices.")]

cli = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def judge(
    name: Annotated[str, typer.Argument(help="invoice@2, invoice, or a file.")],
    *,
    where: Where = "",
    tool: Annotated[str, typer.Option(help="Only the calls of this one.")] = "",
    apply: Annotated[
        bool, typer.Option("--apply", help="Keep the verdicts, beside the old ones.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=0, help="At a time; 0: as many as cores.")
    ] = 0,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Judge what was recorded by a schema, and count what would not pass."""
    from proxy.commands import judging

    judging.judge_recorded(
        db,
        name,
        where=where,
        tool=tool,
        apply=apply,
        processes=processes,
        as_json=as_json,
    )


def infer(
    *,
    where: Where = "",
    tool: Annotated[str, typer.Option(help="The arguments of this one's calls.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Exchanges at most.")] = 10_000,
    db: Db = None,
) -> None:
    """Propose a schema from recorded answers, for a person to edit."""
    from proxy.commands import inferring

    inferring.infer(db, where=where, tool=tool, limit=limit)


cli.command("test")(judge)
cli.command("infer")(infer)
