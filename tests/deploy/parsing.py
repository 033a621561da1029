"""Reads a command line as the program itself would, without running it."""

from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from proxy.cli import cli


def served_with(command: list[str]) -> dict[str, Any]:
    """Return what `serve` is given by these arguments; fails where it takes them not."""
    group = get_command(cli)
    assert isinstance(group, TyperGroup)
    name, *flags = command
    assert "serve" == name
    context = group.commands["serve"].make_context(name, flags)
    return {key: value for key, value in context.params.items() if value}
