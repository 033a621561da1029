"""The work of the process aside: reads cases, says what is found, within its limits.

It ends with its standard input, by its own alarm where nobody kills it, and by the
kernel where it wants more memory than it may have.
"""

import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from proxy.schemas.cases import Case
from proxy.schemas.compile import Compiler, load
from proxy.schemas.finding import Found, find
from storage.records import Fault

HEAD_BYTES = 4

MEMORY_BYTES = 1024**3
"""Address space: the longest text and its faults take a fifth of it."""

NICENESS = 5
"""Traffic goes first, on a machine with a core or two."""

LATER_S = 1.0
"""What the alarm leaves to whoever started the process to kill it."""

UNLISTED = Found(
    "invalid", faults=(Fault("", "", "To list the faults took too long."),)
)


class Work(Struct, frozen=True):
    """A case, its text apart: halves of surrogate pairs are no UTF-8.

    Shapes: the case's own slot has no text, and a tool's name as far as it encodes.
    """

    case: Case
    text: bytes


class Word(Struct, frozen=True):
    """What is found so far; the `last` word says all."""

    found: Found
    last: bool


works = msgspec.msgpack.Decoder(Work)
words = msgspec.msgpack.Decoder(Word)


def work(case: Case) -> Work:
    """Return a case as it is sent."""
    replace = msgspec.structs.replace
    text = case.slot.text.encode("utf-8", "surrogatepass")
    tool = case.slot.tool.encode("utf-8", "replace").decode()
    return Work(replace(case, slot=replace(case.slot, text="", tool=tool)), text)


def packed(message: Work | Word) -> bytes:
    """Return a message as it goes through a pipe, its length first."""
    encoded = msgspec.msgpack.encode(message)
    return len(encoded).to_bytes(HEAD_BYTES, "big") + encoded


def serve() -> None:
    """Serve what comes on standard input, as the main function of a process."""
    limit_s = float(sys.argv[1])
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # where a container has no memory left, it goes first
        Path("/proc/self/oom_score_adj").write_text("1000")
    run(sys.stdin.buffer, sys.stdout.buffer, limit_s=limit_s)


def run(source: BinaryIO, out: BinaryIO, *, limit_s: float) -> None:
    """Answer every case of `source` until its end."""
    compiler = Compiler()
    load()  # before it is ready: the limits are for cases
    _say(out, Word(Found("valid"), last=True))  # ready
    while head := source.read(HEAD_BYTES):
        message = source.read(int.from_bytes(head, "big"))
        signal.setitimer(signal.ITIMER_REAL, limit_s + LATER_S)
        found = _find(message, compiler, out)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(out, Word(found, last=True))


def _find(message: bytes, compiler: Compiler, out: BinaryIO) -> Found:
    told = works.decode(message)
    text = told.text.decode("utf-8", "surrogatepass")
    replace = msgspec.structs.replace
    case = replace(told.case, slot=replace(told.case.slot, text=text))
    try:
        return find(case, compiler, lambda: _say(out, Word(UNLISTED, last=False)))
    except MemoryError:
        return Found("unchecked", "too_large")


def _say(out: BinaryIO, word: Word) -> None:
    out.write(packed(word))
    out.flush()
