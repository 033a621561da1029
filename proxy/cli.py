"""The command line: builds and passes on, decides nothing."""

from pathlib import Path
from typing import Annotated

import typer

from proxy.commands import serving

cli = typer.Typer(no_args_is_help=True, add_completion=False)


@cli.callback()
def spiritsafe() -> None:
    """Record what passes between OpenAI clients and their upstreams."""


@cli.command()
def serve(
    *,
    listen: Annotated[str | None, typer.Option(help="host:port or unix:/path")] = None,
    upstream: Annotated[str | None, typer.Option(help="Base URL for /v1")] = None,
    db: Annotated[Path | None, typer.Option(help="The file to record to")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="key=value, repeatable")] = None,
    durability: Annotated[str | None, typer.Option(help="durable or relaxed")] = None,
) -> None:
    """Serve and record."""
    serving.run(
        serving.settings_from(
            {
                "listen": listen,
                "upstream": upstream,
                "db": db,
                "tags": serving.tags_from(tag or []),
                "durability": durability,
            }
        )
    )


def main() -> None:
    """Run the command line."""
    cli()
