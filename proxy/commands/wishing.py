"""Has a change made to a file: by the server that owns it, or here where none runs."""

import asyncio
import http.client
import json
import socket
import time
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from proxy.commands import printing
from proxy.commands.errors import CannotStart, NotFound
from proxy.commands.serving import from_here
from proxy.housekeeping import PATH
from proxy.indexing import indexing
from storage.engines.owner import told
from storage.errors import (
    DatabaseInUse,
    HeldByRelease,
    NoSuchExchange,
    StillOpen,
    StorageError,
)
from storage.index.file import index_path
from storage.recorder import Recorder
from storage.safekeeping import Limits
from storage.upkeep import Report, Upkeep, convert
from storage.wishes import Wish, carry_out

_REFUSALS = (HeldByRelease, NoSuchExchange, StillOpen)
_ALONE = Limits(reserve_bytes=0)


def fulfil(path: Path, wish: Wish) -> Report:
    """Have a change made; return what became of it.

    Raises: `NotFound` where what is named cannot be changed; `CannotStart`.
    """
    with printing.progress("changing the file", None):
        return _fulfil(path, wish)


def _fulfil(path: Path, wish: Wish) -> Report:
    try:
        return asyncio.run(_alone(path, wish))
    except DatabaseInUse as exc:
        owner = told(path)
        if owner is None:
            raise CannotStart(str(exc)) from exc
        return _ask(*owner, wish)
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


def _ask(address: str, secret: str, wish: Wish) -> Report:
    connection = _connection(address)
    body = msgspec.json.encode(wish)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    try:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    except OSError as exc:
        raise CannotStart(
            f"the server at {address} owns the file and does not answer: {exc}"
        ) from exc
    finally:
        connection.close()
    if answer.status == 200:
        return msgspec.json.decode(data, type=Report)
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
