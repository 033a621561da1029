"""The command line of `spiritsafe schema`: assembles and passes on."""

from pathlib import Path
from typing import Annotated

import typer

from proxy import cli_judging

AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]
Db = Annotated[Path | None, typer.Option("--db", help="The file of recordings.")]
Number = Annotated[int, typer.Argument(min=1, help="Of a binding: its id.")]
Ref = Annotated[str, typer.Argument(help="A name, or name@version.")]

cli = typer.Typer(
    help="What answers have to look like: schemas, and what they are bound to.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    file: Annotated[
        str | None, typer.Argument(help="A JSON Schema; - is stdin.")
    ] = None,
    *,
    pydantic: Annotated[
        str | None, typer.Option(help="A model instead, as module:Class.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="The Python to import the model with.")
    ] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Register a schema as the newest version of its name."""
    from proxy.commands import schemas

    schemas.add(db, name, file=file, pydantic=pydantic, python=python, as_json=as_json)


def list_(*, as_json: AsJson = False, db: Db = None) -> None:
    """List the newest version of every schema."""
    from proxy.commands import schemas

    schemas.show_list(db, as_json=as_json)


def show(ref: Ref, *, as_json: AsJson = False, db: Db = None) -> None:
    """Print a schema as it was given; of a name the newest version."""
    from proxy.commands import schemas

    schemas.show(db, ref, as_json=as_json)


def bind(
    schema: Ref,
    *,
    model: Annotated[str, typer.Option(help="A glob of the model asked for.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option(help="key=value, repeatable.")
    ] = None,
    tool: Annotated[str, typer.Option(help="For this tool's arguments.")] = "",
    format_name: Annotated[str, typer.Option(help="Its response_format's name.")] = "",
    prompt: Annotated[str, typer.Option(help="A fingerprint: see show.")] = "",
    upstream: Annotated[str, typer.Option(help="By its name.")] = "",
    endpoint: Annotated[str, typer.Option(help="chat, responses, completions.")] = "",
    policy: Annotated[
        str, typer.Option(help="observe, header, enforce or repair.")
    ] = "observe",
    attempts: Annotated[int, typer.Option(help="Of repair, at most.")] = 2,
    position: Annotated[
        int | None, typer.Option(help="Its place; behind all others without.")
    ] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Bind a schema to the traffic that has all that is named."""
    from proxy.commands import schemas

    rule = {
        "model": model,
        "tool": tool,
        "format_name": format_name,
        "prompt": prompt,
        "upstream": upstream,
        "endpoint": endpoint,
    }
    then = {"policy": policy, "attempts": attempts, "position": position}
    asked = {"schema": schema, **rule, **then}
    schemas.bind(db, asked, tags=tag or [], as_json=as_json)


def unbind(number: Number, *, as_json: AsJson = False, db: Db = None) -> None:
    """End a binding."""
    from proxy.commands import schemas

    schemas.unbind(db, number, as_json=as_json)


def move(
    number: Number,
    position: Annotated[int, typer.Argument(min=1, help="Counted from 1.")],
    *,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Put a binding at another place: the first that fits says what follows."""
    from proxy.commands import schemas

    schemas.move(db, number, position, as_json=as_json)


def bindings(*, as_json: AsJson = False, db: Db = None) -> None:
    """List the bindings, in the order in which they are asked."""
    from proxy.commands import schemas

    schemas.show_bindings(db, as_json=as_json)


cli.command("add")(add)
cli.command("list")(list_)
cli.command("show")(show)
cli.command("bind")(bind)
cli.command("unbind")(unbind)
cli.command("move")(move)
cli.command("bindings")(bindings)
cli.add_typer(cli_judging.cli)
