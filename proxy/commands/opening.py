"""Opens the file that a reading command works on, and finds an exchange in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.commands.errors import CannotStart, NotFound
from proxy.commands.flags import database
from storage.assemble import Kept, Row
from storage.errors import NoSuchExchange, NotOurDatabase, StorageError
from storage.reading import Library, open_library
from storage.verify import DAMAGE

FEW = 3


@contextmanager
def opened(db: Path | None) -> Iterator[Library]:
    """Open the file for reading; never makes one.

    Raises: `CannotStart` where there is none, or it is something else.
    """
    path = database(db)
    if not path.exists():
        raise CannotStart(
            f"{path} does not exist: record something first with 'spiritsafe serve', "
            "or name another file with --db"
        )
    try:
        with open_library(path) as library:
            yield library
    except NoSuchExchange as exc:
        raise NotFound(f"{path}: {exc}") from exc
    except NotOurDatabase as exc:
        raise CannotStart(f"{path}: {exc}") from exc
    except StorageError as exc:
        raise CannotStart(str(exc)) from exc


def found(library: Library, name: str) -> Row:
    """Return the row with this id, this start of an id, or this completion id.

    Raises: `NoSuchExchange` where there is none, or more than one.
    """
    rows = library.find(name, limit=FEW + 1)
    if not rows:
        raise NoSuchExchange(
            f"no exchange has the id '{name}': 'spiritsafe list' shows what there is"
        )
    if len(rows) > 1:
        names = ", ".join(row.id for row in rows[:FEW])
        more = " and more" if len(rows) > FEW else ""
        raise NoSuchExchange(
            f"'{name}' means {names}{more}: name one of them, not all,"
        )
    return rows[0]


def whole(library: Library, row: Row) -> Kept:
    """Return all that is kept of a row.

    Raises: `CannotStart` where the file is damaged.
    """
    try:
        return library.whole(row)
    except DAMAGE as exc:
        raise CannotStart(
            f"{row.id} cannot be read: {exc}; 'spiritsafe verify' tells all"
        ) from exc
