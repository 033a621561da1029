"""From flags to the settings they stand for."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proxy.commands.errors import WrongUse
from proxy.commands.secrecy import planted
from proxy.settings import FILE, NO_FILE, Settings


def settings_from(flags: dict[str, Any]) -> Settings:
    """Return the settings, flags first.

    Raises: `WrongUse` with one line per thing that is wrong.
    """
    if reason := planted(FILE):
        raise WrongUse(reason)
    given = {name: value for name, value in flags.items() if value not in (None, {})}
    try:
        settings = Settings(**given)
        settings.every_upstream()  # reads `upstream` as one of them
    except ValidationError as exc:
        wrong = []
        for error in exc.errors():
            where = ".".join(str(part) for part in error["loc"])
            says = error["msg"].removeprefix("Value error, ")
            wrong.append(f"{where}: {says}" if where else says)
        raise WrongUse("\n".join(wrong)) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise WrongUse(f"{FILE.absolute()} is no TOML: {exc}") from exc
    except OSError as exc:
        raise WrongUse(f"{FILE.absolute()} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:  # a variable is no JSON
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
    """Return the file that a command works on: the flag's, or the settings'.

    Raises: `WrongUse` where the flag is empty, or the settings are wrong.
    """
    if db == Path():
        raise WrongUse(NO_FILE)
    return db or settings_from({}).db
