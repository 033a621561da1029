"""`spiritsafe serve`: from flags to a running server."""

import asyncio
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any

import uvloop
from pydantic import ValidationError

from proxy.app import App
from proxy.front.serve import CannotListen, address_of, bind, build_server, serve
from proxy.settings import Settings
from storage.errors import StorageError

OURS = ("proxy", "distill", "storage")
CANNOT_START = 3
USAGE = 2


def settings_from(flags: dict[str, Any]) -> Settings:
    """Return the settings, flags first.

    Raises: `SystemExit` with code 2 after one line per thing that is wrong.
    """
    given = {name: value for name, value in flags.items() if value not in (None, {})}
    try:
        return Settings(**given)
    except ValidationError as exc:
        for error in exc.errors():
            where = ".".join(str(part) for part in error["loc"])
            says = error["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"spiritsafe: {where}: {says}\n")
        raise SystemExit(USAGE) from None


def run(settings: Settings) -> None:
    """Serve until told to stop.

    Raises: `SystemExit` with code 3 after a sentence when it cannot start.
    """
    os.umask(0o077)  # whatever is made is ours alone (S-60)
    log_to_stderr(settings.log_level)
    try:
        sock = bind(settings.listen)
        app = App(settings)
        server = build_server(
            app,
            drain_s=settings.drain_s,
            announce=lambda: announce(settings, address_of(sock)),
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(app, server, sock))
    except (CannotListen, StorageError, ValueError, OSError) as exc:
        sys.stderr.write(f"spiritsafe: {exc}\n")
        raise SystemExit(CANNOT_START) from exc


def log_to_stderr(level: str) -> None:
    """Log what our own packages say from a level on, and the warnings of all others.

    Below a warning libraries tell what they handle: HPACK each header with its key,
    aiosqlite each row (S-03).
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def announce(settings: Settings, address: str) -> None:
    """Say where it listens, where it records, and the line to copy."""
    gc.collect()
    gc.freeze()  # what is loaded stays: collections need not look at it again
    lines = [
        f"listening on {address}",
        f"recording to {settings.db.absolute()} ({settings.durability})",
    ]
    for name, upstream in settings.every_upstream().items():
        path = "/v1" if name == "default" else f"/{name}/v1"
        lines.append(f"forwarding {path} to {upstream.url}")
    if not address.startswith("unix:"):
        lines.append(f"export OPENAI_BASE_URL={address}/v1")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def tags_from(pairs: list[str]) -> dict[str, str]:
    """Return default tags from repeated `--tag key=value`.

    Raises: `SystemExit` with code 2 when one is not of that form.
    """
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            sys.stderr.write(f"spiritsafe: --tag '{pair}': write key=value\n")
            raise SystemExit(USAGE)
        tags[key] = value
    return tags


def database(db: Path | None) -> Path:
    """Return the file that reading commands work on: the flag's, or the settings'."""
    return db or settings_from({}).db
