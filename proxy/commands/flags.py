"""From flags to the settings they stand for."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proxy.commands.errors import WrongUse
from proxy.settings import Settings


def settings_from(flags: dict[str, Any]) -> Settings:
    """Return the settings, flags first.

    Raises: `WrongUse` with one line per thing that is wrong.
    """
    given = {name: value for name, value in flags.items() if value not in (None, {})}
    try:
        settings = Settings(**given)
        settings.every_upstream()  # reads `upstream` as one of them
    except ValidationError as exc:
        wrong = []
        for error in exc.errors():
            where = ".".join(str(part) for part in error["loc"])
            says = error["msg"].removeprefix("Value error, ")
            wrong.append(f"{where}: {says}")
        raise WrongUse("\n".join(wrong)) from exc
    except ValueError as exc:  # the file is no TOML, or a variable no JSON
        raise WrongUse(f"the settings cannot be read: {exc}") from exc
    return settings


def tags_from(pairs: list[str]) -> dict[str, str]:
    """Return default tags from repeated `--tag key=value`.

    Raises: `WrongUse` when one is not of that form.
    """
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise WrongUse(f"--tag '{pair}': write key=value")
        tags[key] = value
    return tags


def database(db: Path | None) -> Path:
    """Return the file that a command works on: the flag's, or the settings'."""
    return db or settings_from({}).db
