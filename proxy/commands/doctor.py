"""`spiritsafe doctor`: looks at this machine and says what recording can rely on."""

import os
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from rich.table import Table

from proxy.commands import plain, printing
from proxy.commands.flags import database
from storage.engines.owner import file_system_of, read_mounts, refuse_unsafe
from storage.engines.scrub import OLD, can_scrub
from storage.errors import StorageError, UnsafeFileSystem
from storage.reading import open_library

FSYNCS = 50
DISHONEST_US = 100
"""Below this a virtual disk probably answers from a cache (reliability 7.7)."""

FREE_BYTES = 2 * 1024**3
FEW_FILES = 4096

FIXED_BRANCHES = ((3, 50, 7), (3, 44, 6))
"""Releases that carry the fix of the WAL-reset race back; 3.51.3 has it."""

Grade = Literal["good", "warn", "bad"]


class Finding(NamedTuple):
    """One thing looked at, and what follows from it."""

    what: str
    grade: Grade
    says: str


COLOURS = {"good": "green", "warn": "yellow", "bad": "red"}

# macOS has no fdatasync; what the program itself waits for there is SQLite's fsync.
_flush = getattr(os, "fdatasync", os.fsync)


def diagnose(db: Path | None, *, as_json: bool = False) -> int:
    """Print what was found; return 1 where something is bad."""
    findings = list(examine(database(db)))
    bad = any(finding.grade == "bad" for finding in findings)
    if as_json:
        told = [finding._asdict() for finding in findings]
        printing.write_json({"sound": not bad, "findings": told}, indent=True)
        return int(bad)
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        grade = printing.cell(finding.grade, COLOURS[finding.grade])
        table.add_row(finding.what, grade, plain.line(finding.says))
    printing.print_table(table)
    return int(bad)


def examine(db: Path) -> Iterator[Finding]:
    """Yield findings about the place where `db` is, or would be."""
    folder = db.absolute().parent
    yield Finding("python", "good", sys.version.split()[0])
    yield sqlite_release()
    if not folder.is_dir():
        yield Finding("folder", "bad", f"{folder} does not exist: create it first")
        return
    yield file_system(folder)
    yield flushes(folder)
    yield room(folder)
    yield descriptors()
    yield permissions(db)
    if db.exists():
        yield content(db)


def sqlite_release() -> Finding:
    """Say which SQLite this is, and whether outside writers are a danger to it."""
    version = sqlite3.sqlite_version_info
    with sqlite3.connect(":memory:") as connection:
        source = connection.execute("select sqlite_source_id()").fetchone()[0]
    says = f"{sqlite3.sqlite_version} ({source[:31]})"
    fixed = version >= (3, 51, 3) or any(
        version[:2] == branch[:2] and version >= branch for branch in FIXED_BRANCHES
    )
    if fixed:
        return Finding("sqlite", "good", says)
    return Finding(
        "sqlite",
        "warn",
        f"{says}: our one writer is safe, but let no other program write to or "
        "checkpoint the file (WAL-reset race, fixed in 3.51.3)",
    )


def file_system(folder: Path) -> Finding:
    """Say whether WAL can work on the file system of a folder."""
    mounts = read_mounts()
    name = file_system_of(folder, mounts) or "unknown"
    try:
        refuse_unsafe(folder, mounts)
    except UnsafeFileSystem as exc:
        return Finding("file system", "bad", str(exc))
    if name in {"tmpfs", "overlay"}:
        return Finding(
            "file system", "warn", f"{name}: what is recorded dies with this machine"
        )
    return Finding("file system", "good", name)


def flushes(folder: Path) -> Finding:
    """Measure a flush in a folder: the end of every answer waits for one."""
    times_us = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(FSYNCS):
                os.pwrite(file.fileno(), os.urandom(4096), 0)
                started = time.perf_counter_ns()
                _flush(file.fileno())
                times_us.append((time.perf_counter_ns() - started) / 1000)
    except OSError as exc:
        return Finding(
            "flush",
            "bad",
            f"cannot write in {folder}: {exc.strerror}: name another file with --db",
        )
    middle, worst = statistics.median(times_us), sorted(times_us)[-2]
    says = f"p50 {middle / 1000:.2f} ms, p98 {worst / 1000:.2f} ms"
    if middle < DISHONEST_US:
        return Finding(
            "flush",
            "warn",
            f"{says}: faster than a disk can be, so power loss may cost the last pairs",
        )
    return Finding("flush", "good", says)


def room(folder: Path) -> Finding:
    """Say how much space is left."""
    free = shutil.disk_usage(folder).free
    grade: Grade = "good" if free > FREE_BYTES else "warn"
    return Finding("free space", grade, f"{free / 1024**3:.1f} GiB")


def descriptors() -> Finding:
    """Say how many connections the limit on open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= FEW_FILES:
        return Finding("open files", "good", f"{soft}")
    return Finding(
        "open files",
        "warn",
        f"{soft}: about {soft // 2} streams at once; raise with 'ulimit -n {hard}'",
    )


def permissions(db: Path) -> Finding:
    """Say whether others can read what is recorded."""
    if not db.exists():
        return Finding("file", "good", f"{db} will be made, readable by you only")
    mode = db.stat().st_mode & 0o777
    if mode & 0o077:
        return Finding(
            "file", "warn", f"{db} is readable by others ({mode:o}): chmod 600 it"
        )
    return Finding("file", "good", f"{db}, readable by you only")


def content(db: Path) -> Finding:
    """Say whether the file can be read, and whether all it took in is accounted for."""
    try:
        with open_library(db) as library:
            totals = library.totals()
            cleans = can_scrub(library.connection)
    except StorageError as exc:
        return Finding("content", "bad", str(exc))
    says = (
        f"{totals.complete} complete, {totals.incomplete} incomplete, "
        f"{totals.unrecorded} unrecorded, {totals.in_flight} in flight"
    )
    if not totals.balanced:
        return Finding("content", "bad", f"{says}, of {totals.accepted} accepted")
    if not cleans:
        return Finding("content", "warn", f"{says}; {OLD}")
    return Finding("content", "warn" if totals.unrecorded else "good", says)
