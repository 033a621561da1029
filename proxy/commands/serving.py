"""`spiritsafe serve`: from settings to a running server."""

import asyncio
import gc
import logging

import uvloop

from proxy.app import App
from proxy.commands import telling
from proxy.commands.errors import CannotStart
from proxy.commands.secrecy import keep_memory, planted
from proxy.front.serve import CannotListen, address_of, bind, build_server, serve
from proxy.settings import Settings
from storage.errors import StorageError
from storage.recovery import RecoveryReport

OURS = ("proxy", "distill", "storage")

YOUNG_OBJECTS = 20_000
"""Objects made before the collector looks at the young ones.

At CPython's 700 it looks at every other request and finds nothing (2026-11-21).
"""


def run(settings: Settings) -> int:
    """Serve until told to stop.

    Raises: `CannotStart` with a sentence.
    """
    keep_memory(debuggers=settings.log_level == "debug")
    log_to_stderr(settings.log_level)
    if reason := planted(settings.db):
        raise CannotStart(reason)
    try:
        sock = bind(settings.listen)
        app = App(settings)
        server = build_server(
            app,
            drain_s=settings.drain_s,
            announce=lambda: announce(settings, address_of(sock), app.recovered),
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(app, server, sock))
    except (CannotListen, ValueError) as exc:
        raise CannotStart(str(exc)) from exc
    except (StorageError, OSError) as exc:
        raise CannotStart(f"cannot record to {settings.db}: {exc}") from exc
    return 0


def log_to_stderr(level: str) -> None:
    """Log what our own packages say from a level on, and the warnings of all others.

    Below a warning libraries tell what they handle: HPACK each header with its key,
    aiosqlite each row (S-03).
    """
    logging.basicConfig(
        level=logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        handlers=[telling.Log()],
    )
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def announce(settings: Settings, address: str, recovered: RecoveryReport) -> None:
    """Say where it listens, where it records, and the line to copy."""
    gc.collect()
    gc.freeze()  # what is loaded stays: collections need not look at it again
    gc.set_threshold(YOUNG_OBJECTS)
    lines = [
        f"listening on {address}" + reach(address),
        f"recording to {settings.db.absolute()} ({settings.durability})",
    ]
    if recovered.unclean_epochs:
        lines.append(told(recovered))
    lines += brought(recovered)
    for name, upstream in settings.every_upstream().items():
        path = "/v1" if name == "default" else f"/{name}/v1"
        lines.append(f"forwarding {path} to {upstream.url}")
    if not address.startswith("unix:"):
        lines.append(f"export OPENAI_BASE_URL={from_here(address)}/v1")
    telling.announce("\n".join(lines) + "\n")


def brought(recovered: RecoveryReport) -> list[str]:
    """Return what else a start found, a sentence each.

    >>> brought(RecoveryReport(replayed=2, damaged=1))
    ['the file was damaged: it is set aside, and a new one begun', 'from the spool: 2']
    """
    lines = []
    if recovered.damaged:
        lines.append("the file was damaged: it is set aside, and a new one begun")
    if recovered.replayed:
        lines.append(f"from the spool: {recovered.replayed}")
    if recovered.left:
        lines.append(f"of the spool {recovered.left} could not be read: set aside")
    return lines


def reach(address: str) -> str:
    """Return a warning where others than this machine reach the address.

    >>> reach("http://[::]:80")
    ' (every interface: whoever reaches this machine can send through it)'
    """
    if from_here(address) == address:
        return ""
    return " (every interface: whoever reaches this machine can send through it)"


def from_here(address: str) -> str:
    """Return the address as a client on this machine can write it.

    >>> from_here("http://0.0.0.0:8787")
    'http://127.0.0.1:8787'
    """
    here = address.replace("//0.0.0.0:", "//127.0.0.1:")
    return here.replace("//[::]:", "//[::1]:")


def told(recovered: RecoveryReport) -> str:
    """Return what recovery found, as a sentence.

    >>> told(RecoveryReport(unclean_epochs=1, crashed=2, lost=1))
    'the last run did not stop cleanly: 2 cut off, 1 lost'
    """
    runs = recovered.unclean_epochs
    who = "the last run" if runs == 1 else f"{runs} runs"
    found = f"{recovered.crashed} cut off, {recovered.lost} lost"
    if not (recovered.crashed or recovered.lost):
        found = "no exchange was cut off or lost"
    return f"{who} did not stop cleanly: {found}"
