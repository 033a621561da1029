"""`spiritsafe backup`: a copy of the file as of one moment."""

from pathlib import Path

from proxy.commands import printing
from proxy.commands.errors import CannotStart, WrongUse
from proxy.commands.flags import database
from proxy.commands.opening import opened
from storage.backup import back_up
from storage.errors import StorageError

_MIB = 1024 * 1024


def back_up_to(db: Path | None, target: Path, *, as_json: bool = False) -> int:
    """Write a copy and say so."""
    path = database(db)
    with opened(path):
        pass  # there is a file of ours
    total = path.stat().st_size
    try:
        with printing.progress("copying", total) as done:
            back_up(
                path.resolve(),
                target,
                progress=lambda copied, of: done(total * copied // max(of, 1)),
            )
    except FileExistsError as exc:
        raise WrongUse(str(exc)) from exc
    except (OSError, StorageError) as exc:
        raise CannotStart(f"{target} cannot be written: {exc}") from exc
    size = target.stat().st_size
    if as_json:
        printing.write_json({"file": str(target), "bytes": size})
    else:
        printing.say(f"{target}: {size / _MIB:.1f} MiB, as of its beginning, checked")
    return 0
