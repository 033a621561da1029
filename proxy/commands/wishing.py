"""Has a change made to a file: by the server that owns it, or here where none runs."""

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from proxy.commands import printing
from proxy.commands.errors import CannotStart, NotFound
from proxy.commands.serving import from_here
from proxy.housekeeping import PATH, SCHEMAS_PATH
from proxy.indexing import indexing
from storage.engines.owner import told
from storage.errors import (
    DatabaseInUse,
    HeldByRelease,
    NoSuchBinding,
    NoSuchExchange,
    NoSuchSchema,
    StillOpen,
    StorageError,
)
from storage.index.file import index_path
from storage.recorder import Recorder
from storage.registering import Entered, Entry, enter
from storage.safekeeping import Limits
from storage.upkeep import Report, Upkeep, convert
from storage.wishes import Wish, carry_out

T = TypeVar("T")

_REFUSALS = (HeldByRelease, NoSuchBinding, NoSuchExchange, NoSuchSchema, StillOpen)
_ALONE = Limits(reserve_bytes=0)


def fulfil(path: Path, wish: Wish) -> Report:
    """Have a change made; return what became of it.

    Raises: `NotFound` where what is named cannot be changed; `CannotStart`.
    """
    with printing.progress("changing the file", None):
        return _made(
            path,
            lambda: _alone(path, wish),
            lambda owner: _ask(owner, PATH, msgspec.json.encode(wish), Report),
        )


def register(path: Path, entry: Entry) -> Entered:
    """Have what is registered changed; return what became of it. Raises: as `fulfil`.

    Shapes: a file that is not there is made, so that schemas may come first.
    """
    return _made(
        path,
        lambda: _entered(path, entry),
        lambda owner: _ask(owner, SCHEMAS_PATH, msgspec.json.encode(entry), Entered),
    )


def _made(
    path: Path,
    alone: Callable[[], Coroutine[None, None, T]],
    ask: Callable[[tuple[str, str]], T],
) -> T:
    """Have a change made by the owner of the file, or do it where there is none."""
    try:
        return asyncio.run(alone())
    except DatabaseInUse as exc:
        owner = told(path)
        if owner is None:
            raise CannotStart(str(exc)) from exc
        return ask(owner)
    except _REFUSALS as exc:
        raise NotFound(f"{path}: {exc}") from exc
    except (StorageError, OSError, ValueError) as exc:
        raise CannotStart(f"{path} cannot be changed: {exc}") from exc


async def _alone(path: Path, wish: Wish) -> Report:
    async with Recorder.open(path, limits=_ALONE, clock=_wall_us) as recorder:
        indexed = index_path(path).exists()
        await convert(recorder)
        async with indexing(path, recorder) if indexed else nullcontext() as index:
            upkeep = Upkeep(recorder, path, index=index)
            return await carry_out(wish, upkeep, clock=_wall_us)


async def _entered(path: Path, entry: Entry) -> Entered:
    async with Recorder.open(path, limits=_ALONE, clock=_wall_us) as recorder:
        return await recorder.change(partial(enter, entry=entry, now_at=_wall_us()))


def _ask(owner: tuple[str, str], to: str, body: bytes, kind: type[T]) -> T:
    address, secret = owner
    connection = _connection(address)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    try:
        connection.request("POST", to, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    except OSError as exc:
        raise CannotStart(
            f"the server at {address} owns the file and does not answer: {exc}"
        ) from exc
    finally:
        connection.close()
    if answer.status == 200:
        return msgspec.json.decode(data, type=kind)
    try:
        said = json.loads(data)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = f"status {answer.status}"
    error = NotFound if answer.status == 409 else CannotStart
    raise error(f"the server at {address} says: {said}")


def _connection(address: str) -> http.client.HTTPConnection:
    if not address.startswith("unix:"):
        return http.client.HTTPConnection(urlsplit(from_here(address)).netloc)
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(address.removeprefix("unix:"))
    return connection


def _wall_us() -> int:
    return time.time_ns() // 1000
