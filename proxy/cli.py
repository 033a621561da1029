"""The command line: assembles commands and passes on, decides nothing else."""

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from proxy import cli_keys, cli_schema
from proxy.commands import telling
from proxy.commands.errors import CannotStart, CommandError

cli = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

Db = Annotated[Path | None, typer.Option("--db", help="The file of recordings.")]
AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]
Name = Annotated[str, typer.Argument(help="An id, its start, or a completion id.")]
Model = Annotated[str | None, typer.Option(help="Asked for or served.")]
Upstream = Annotated[str | None, typer.Option(help="By its name.")]
Status = Annotated[int | None, typer.Option(help="HTTP status, 0 for none.")]
State = Annotated[str | None, typer.Option(help="open, complete or incomplete.")]
Tag = Annotated[str | None, typer.Option(help="key=value.")]
Filter = Annotated[
    list[str] | None,
    typer.Argument(help="A filter: model:gpt-4o* status>=400 tag.k:v words."),
]
Limit = Annotated[int, typer.Option(min=1, help="Rows at most.")]


def spiritsafe(context: typer.Context) -> None:
    """Record what passes between OpenAI clients and their upstreams."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def serve(
    *,
    listen: Annotated[str | None, typer.Option(help="host:port, unix:/path.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Base URL for /v1.")] = None,
    db: Annotated[Path | None, typer.Option(help="The file to record to.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="key=value, repeatable.")
    ] = None,
    durability: Annotated[str | None, typer.Option(help="durable or relaxed.")] = None,
    on_storage_failure: Annotated[
        str | None, typer.Option(help="fail_open or fail_closed.")
    ] = None,
    schemas: Annotated[Path | None, typer.Option(help="A folder of NAME.json.")] = None,
) -> None:
    """Serve and record.

    All else is set by SPIRITSAFE_ variables and by spiritsafe.toml: see the README.
    """
    from proxy.commands import flags, serving

    given = {
        "listen": listen,
        "upstream": upstream,
        "db": db,
        "durability": durability,
        "on_storage_failure": on_storage_failure,
        "schemas": schemas,
    }
    tags = flags.tags_from(tag or [])
    _end(serving.run(flags.settings_from({**given, "tags": tags})))


def list_(
    query: Filter = None,
    *,
    limit: Limit = 20,
    before: Annotated[str | None, typer.Option(help="Older than this id.")] = None,
    model: Model = None,
    upstream: Upstream = None,
    status: Status = None,
    state: State = None,
    tag: Tag = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """List what was recorded, newest first; all of it, or what a filter matches."""
    from proxy.commands import asking, listing

    wanted = asking.asked(
        query, model=model, upstream=upstream, status=status, state=state, tag=tag
    )
    _end(listing.show_list(db, wanted, limit=limit, before=before, as_json=as_json))


def search(
    query: Annotated[list[str], typer.Argument(help="Words, or any filter.")],
    *,
    limit: Limit = 20,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Find words in prompts and answers, and show where they stand."""
    from proxy.commands import asking, listing

    _end(listing.search(db, asking.asked(query), limit=limit, as_json=as_json))


def show(
    name: Name,
    *,
    raw: Annotated[
        str | None, typer.Option(help="The bytes of: request, sent, answer.")
    ] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Show one exchange whole."""
    from proxy.commands import showing

    _end(showing.show(db, name, raw=raw, as_json=as_json))


def tail(
    query: Filter = None,
    *,
    count: Annotated[int, typer.Option("-n", min=0, help="Rows to start with.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on.")] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Print the last exchanges, and with -f each further one as it ends."""
    from proxy.commands import asking, listing

    wanted = asking.asked(query)
    _end(listing.follow(db, wanted, count=count, on=follow, as_json=as_json))


def stats(
    query: Filter = None,
    *,
    by: Annotated[
        str, typer.Option(help="day, model, upstream, tag.KEY and the like.")
    ] = "day,model,upstream",
    prices: Annotated[Path | None, typer.Option(help="A table of your own.")] = None,
    model: Model = None,
    upstream: Upstream = None,
    tag: Tag = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Sum up volume, tokens, cost, times and failures by day and model."""
    from proxy.commands import asking, counting

    wanted = asking.asked(query, model=model, upstream=upstream, tag=tag)
    _end(counting.show_stats(db, wanted, by=by, prices=prices, as_json=as_json))


def prices() -> None:
    """Print the table of prices that stats goes by, to be edited."""
    from proxy.commands import prices as table

    typer.echo(table.shipped(), nl=False)


def verify(
    name: Annotated[str | None, typer.Argument(help="One exchange alone.")] = None,
    *,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Prove that what is kept is what passed."""
    from proxy.commands import verifying

    if name is None:
        _end(verifying.verify_all(db, as_json=as_json))
    else:
        _end(verifying.verify_one(db, name, as_json=as_json))


def doctor(*, as_json: AsJson = False, db: Db = None) -> None:
    """Say what recording can rely on here."""
    from proxy.commands import doctor as here

    _end(here.diagnose(db, as_json=as_json))


def export(
    query: Filter = None,
    *,
    form: Annotated[str, typer.Option("--format", help="openai-chat or openai-dpo.")],
    out: Annotated[str, typer.Option(help="A file; - is stdout.")] = "-",
    model: Model = None,
    upstream: Upstream = None,
    state: State = None,
    tag: Tag = None,
    db: Db = None,
) -> None:
    """Write recordings as training lines; say on stderr what was left out."""
    from proxy.commands import asking, exporting

    wanted = asking.asked(query, model=model, upstream=upstream, state=state, tag=tag)
    _end(exporting.export(db, wanted, form=form, out=out))


Names = Annotated[list[str] | None, typer.Argument(help="Ids, or their starts.")]
Chosen = Annotated[str | None, typer.Option(help="A filter; see the README.")]


def tag(
    names: Names = None,
    *,
    query: Chosen = None,
    add: Annotated[list[str] | None, typer.Option(help="key=value.")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="A key.")] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Add tags to exchanges, and take others from them."""
    from proxy.commands import keeping

    _end(
        keeping.tag(
            db,
            names or [],
            query=query,
            add=add or [],
            drop=drop or [],
            as_json=as_json,
        )
    )


def rm(
    names: Names = None,
    *,
    query: Chosen = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do remove them.")] = False,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Remove exchanges for good: no byte of them stays in the file."""
    from proxy.commands import keeping

    _end(keeping.rm(db, names or [], query=query, yes=yes, as_json=as_json))


def prune(
    *,
    bodies_days: Annotated[
        float | None, typer.Option(min=0, help="Strip content older than this.")
    ] = None,
    rows_days: Annotated[
        float | None, typer.Option(min=0, help="Remove what is older than this.")
    ] = None,
    most_bytes: Annotated[
        int | None, typer.Option(min=0, help="Remove until the file is smaller.")
    ] = None,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Let go what the settings, or these flags, keep no longer."""
    from proxy.commands import keeping

    _end(
        keeping.prune(
            db,
            bodies_days=bodies_days,
            rows_days=rows_days,
            most_bytes=most_bytes,
            as_json=as_json,
        )
    )


def backup(
    target: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    as_json: AsJson = False,
    db: Db = None,
) -> None:
    """Copy the file as of now, while it may be recorded to."""
    from proxy.commands import copying

    _end(copying.back_up_to(db, target, as_json=as_json))


def demo(*, db: Db = None) -> None:
    """Send seven calls to a scripted upstream, and list them."""
    from proxy.commands import demonstrating

    _end(demonstrating.demo(db))


cli.callback(invoke_without_command=True)(spiritsafe)
cli.command("serve")(serve)
cli.command("list")(list_)
cli.command("search")(search)
cli.command("show")(show)
cli.command("tail")(tail)
cli.command("stats")(stats)
cli.command("prices")(prices)
cli.command("verify")(verify)
cli.command("doctor")(doctor)
cli.command("export")(export)
cli.command("demo")(demo)
cli.add_typer(cli_keys.cli, name="keys")
cli.add_typer(cli_schema.cli, name="schema")
cli.command("tag")(tag)
cli.command("rm")(rm)
cli.command("prune")(prune)
cli.command("backup")(backup)


def _end(code: int) -> None:
    if code:
        raise typer.Exit(code)


def main() -> None:
    """Run the command line; what goes wrong ends in a sentence and a code."""
    telling.hold_files()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli(standalone_mode=False)
        sys.stdout.flush()
    except Exception as exc:
        if os.environ.get("SPIRITSAFE_LOG_LEVEL", "").lower() == "debug":
            raise
        code = _complain(exc)
    sys.exit(code)


def _complain(error: Exception) -> int:
    """Say in a sentence what went wrong; return the code to end with."""
    from proxy.commands import plain

    if isinstance(error, BrokenPipeError):  # who read along has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    code = getattr(error, "exit_code", CannotStart.exit_code)
    if isinstance(error, CommandError):
        told = str(error)
    elif isinstance(error, TyperException):
        told = f"{error.format_message().rstrip('.')}: see 'spiritsafe --help'"
    else:
        told = (
            f"{type(error).__name__}: {error}; with SPIRITSAFE_LOG_LEVEL=debug the "
            "whole story is told"
        )
    for line in told.splitlines():
        sys.stderr.write(f"spiritsafe: {plain.line(line)}\n")
    return code
