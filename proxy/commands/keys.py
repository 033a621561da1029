"""`spiritsafe keys`: which keys have recorded, and whose recordings each may read."""

import getpass
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from proxy.callers import load_secret, project_of
from proxy.commands import printing, rows
from proxy.commands.errors import CannotStart, NotFound, WrongUse
from proxy.commands.flags import database, settings_from
from proxy.commands.opening import opened
from storage import access
from storage.errors import StorageError
from storage.reading import Library

SHORT = 12
"""Characters of a fingerprint that are shown: no two of a billion keys share them."""

LEAST = 4  # characters that are taken for the start of one
FEW = 3

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_PROJECT = re.compile(r"[\w.@:/+-]{1,64}")


def show_list(db: Path | None, *, as_json: bool = False) -> int:
    """Print all keys that were seen, by their fingerprints, the first one first."""
    with opened(db) as library:
        known = access.callers(library.connection)
    if as_json:
        printing.write_json(
            [
                {
                    "fingerprint": one.fingerprint,
                    "project": one.project,
                    "first_seen_at": rows.moment(one.first_seen_at),
                }
                for one in known
            ]
        )
    elif known:
        printing.print_table(_table(known))
    else:
        printing.tell("no key has recorded anything")
    return 0


def _table(known: Sequence[access.Caller]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("key", "project", "first seen (UTC)"):
        made.add_column(title, no_wrap=True)
    for one in known:
        seen = rows.moment(one.first_seen_at) or ""
        made.add_row(
            *map(printing.cell, (_short(one.fingerprint), _short(one.project), seen))
        )
    return made


def _short(name: str) -> str:
    return name[:SHORT] if _FINGERPRINT.fullmatch(name) else name


def assign(db: Path | None, names: Sequence[str], *, project: str | None = None) -> int:
    """Let keys belong to one project: that of the first, where none is named.

    Raises: `NotFound`, `WrongUse`, `CannotStart`.
    """
    if project is not None and not _PROJECT.fullmatch(project):
        raise WrongUse(
            f"--project '{project}': write 1 to 64 letters, digits or any of _.@:/+-"
        )
    with opened(db) as library:
        chosen = [_one(library, name) for name in names]
        wanted = project or _project_of(library, chosen[0])
    try:
        access.assign_in(database(db), chosen, wanted, now_at=time.time_ns() // 1000)
    except StorageError as exc:
        raise CannotStart(str(exc)) from exc
    count = f"{len(chosen)} key{'s' * (len(chosen) != 1)}"
    printing.tell(f"{count} now of the project {_short(wanted)}")
    return 0


def _one(library: Library, name: str) -> str:
    """Return the fingerprint that starts like this; a whole one need not be known."""
    if len(name) >= LEAST:
        found = access.matching(library.connection, name, limit=FEW + 1)
        if name in found or _FINGERPRINT.fullmatch(name):
            return name
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(map(_short, found[:FEW]))
            raise NotFound(f"'{name}' means {shown}: write more of it")
    raise NotFound(f"no key is known as '{name}': 'spiritsafe keys list' shows all")


def _project_of(library: Library, fingerprint: str) -> str:
    known = access.callers(library.connection)
    return next(
        (it.project for it in known if it.fingerprint == fingerprint), fingerprint
    )


def identify(db: Path | None) -> int:
    """Read a key from stdin, unseen on a terminal, and print its fingerprint.

    Raises: `CannotStart` where there is no secret to make it with; `WrongUse`.
    """
    path = database(db).resolve()
    secret = path.with_name(path.name + ".secret")
    given = settings_from({}).secret_given
    if given is None and not secret.exists():
        raise CannotStart(f"{secret} does not exist: nothing was recorded here yet")
    key = getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not key.strip():
        raise WrongUse("no key came on stdin")
    try:
        printing.say(project_of(key.strip().encode(), given or load_secret(secret)))
    except (OSError, ValueError) as exc:
        raise CannotStart(str(exc)) from exc
    return 0
