"""The command line of `spiritsafe keys`: assembles and passes on."""

from pathlib import Path
from typing import Annotated

import typer

Db = Annotated[Path | None, typer.Option("--db", help="The file of recordings.")]

cli = typer.Typer(
    help="The keys that have recorded, and who may read what they did.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def list_(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
    db: Db = None,
) -> None:
    """List the keys that were seen, by their fingerprints."""
    from proxy.commands import keys

    keys.show_list(db, as_json=as_json)


def assign(
    names: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="Fingerprints, or starts.")
    ],
    *,
    project: Annotated[
        str | None, typer.Option(help="Its name; the first key's without one.")
    ] = None,
    db: Db = None,
) -> None:
    """Let keys read what each of them recorded: one project for all."""
    from proxy.commands import keys

    keys.assign(db, names, project=project)


def identify(*, db: Db = None) -> None:
    """Print the fingerprint of a key that comes on stdin."""
    from proxy.commands import keys

    keys.identify(db)


cli.command("list")(list_)
cli.command("assign")(assign)
cli.command("identify")(identify)
