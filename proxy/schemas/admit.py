"""Decides whether a document may be registered, and under which name.

What may be heavy is compiled in a process of its own, within the time and the memory
that judging has: what does not compile there could never be judged by.
"""

import asyncio
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE

import msgspec

from proxy.schemas.compile import Compiled, load
from proxy.schemas.document import SchemaRefused, check
from proxy.schemas.judge import LIMIT_S
from proxy.schemas.weight import LIGHT_BYTES, weigh
from proxy.schemas.works import MEMORY_BYTES
from storage.registering import Entry
from storage.schemas import NAME

START_S = 30.0
"""For a process to start and to end, on a machine that does a lot else."""

_refusal = msgspec.json.Decoder(tuple[str, str])


async def admit(name: str, document: bytes) -> None:
    """Let a document pass that is a schema within the bounds, under a usable name.

    Raises: `SchemaRefused`, with a pointer to the fault.
    """
    if not NAME.fullmatch(name):
        raise SchemaRefused(
            f"'{name[:64]}' is no name of a schema: write up to 64 letters, digits, "
            "'.', '_' or '-', a letter or a digit first"
        )
    await asyncio.to_thread(load)
    if len(document) > LIGHT_BYTES or not _compile_here(document):
        await _compile_aside(document)


async def addition(name: str, document: bytes, *, source: str) -> Entry:
    """Return the change that registers a document. Raises: `SchemaRefused`."""
    await admit(name, document)
    return Entry(do="add", schema=name, document=document, source=source)


def _compile_here(document: bytes) -> bool:
    """Return whether a document was light enough to be compiled at once.

    Raises: `SchemaRefused`.
    """
    try:
        schema = check(document)
        weight = weigh(schema)
        if weight.light:
            Compiled(schema, weight)
    except SchemaRefused:
        raise
    except (ValueError, RecursionError) as exc:  # a fault of ours stops nobody
        raise SchemaRefused(f"The schema cannot be read: {exc}"[:300]) from exc
    return weight.light


async def _compile_aside(document: bytes) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # what lies in the current folder is not ours to import
        "-c",
        "from proxy.schemas.admit import compile_alone; compile_alone()",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(START_S + LIMIT_S):
            told, _ = await process.communicate(document)
    except TimeoutError:
        told = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if told:
        raise SchemaRefused(*_refusal.decode(told))
    if process.returncode:
        raise SchemaRefused(
            f"The schema takes more than {LIMIT_S:g} s or too much memory to compile."
        )


def compile_alone() -> None:
    """Compile what comes on standard input; say on standard output why it is refused.

    The main function of a process, which its own alarm ends where nobody else does.
    """
    document = sys.stdin.buffer.read()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load()
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # its own time: others may be at work
    try:
        schema = check(document)
        Compiled(schema, weigh(schema))
    except SchemaRefused as exc:
        sys.stdout.buffer.write(msgspec.json.encode((exc.message, exc.path)))
