"""Registers the schemas of a directory, `NAME.json` as NAME; never stops a server."""

import asyncio
import logging
from hashlib import sha256
from pathlib import Path

from proxy.schemas.admit import addition
from proxy.schemas.document import MAX_BYTES, SchemaRefused
from proxy.schemas.registrar import Registrar
from storage.errors import StorageError

SOURCE = "directory"

_FAULTS = (StorageError, ValueError, RecursionError, ImportError, MemoryError)
"""Why a file is not registered that may be a schema, as the logs tell."""

_log = logging.getLogger(__name__)


async def take_in(folder: Path, registrar: Registrar) -> None:
    """Register each file that says something else than when it was last taken in.

    What cannot be taken is logged with its path, and what was registered stays.
    """
    try:
        paths = await asyncio.to_thread(_files, folder)
    except OSError as exc:
        _log.warning("schemas: %s cannot be read: %s", folder, exc.strerror)
        return
    for path in paths:
        try:
            document = await asyncio.to_thread(_read, path)
            if _taken(path.stem, document, registrar):
                continue
            entry = await addition(path.stem, document, source=SOURCE)
            done = await registrar.enter(entry)
        except OSError as exc:
            _log.warning("schemas: %s cannot be read: %s", path, exc.strerror)
        except SchemaRefused as exc:
            place = f" at {exc.path}" if exc.path else ""
            _log.warning("schemas: %s is not taken: %s%s", path, exc.message, place)
        except _FAULTS as exc:
            _log.warning("schemas: %s is not registered: %s", path, exc)
        else:
            ref = done.version.ref if done.version else path.stem
            _log.info("schemas: %s is %s", path, ref)


def _files(folder: Path) -> list[Path]:
    """Return the files that are meant. Raises: `OSError`."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix == ".json" and path.stem[:1] != "." and not path.is_dir()
    )


def _read(path: Path) -> bytes:
    """Return what a file holds, or enough to see that it is too much.

    Raises: `OSError`, also for what is no file: a pipe would never end.
    """
    if not path.is_file():
        raise OSError(0, "it is no file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _taken(name: str, document: bytes, registrar: Registrar) -> bool:
    """Return whether this is what the directory gave last.

    What came by another way since then stays the newest until the file changes.
    """
    known = registrar.registry.history(name)
    given = [its.digest for its in known if its.source == SOURCE]
    return given[-1:] == [sha256(document).digest()]
