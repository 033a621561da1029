"""Keeps keys and prompts from other users: in memory, in files, by planted files.

Swap is not ours to keep it from: encrypt it, or have none.
"""

import ctypes
import os
import resource
import stat
import sys
from pathlib import Path

PR_SET_DUMPABLE = 4  # prctl(2)


def keep_memory(*, debuggers: bool) -> None:
    """Make all that is written from now on ours alone, and have no core dumped (S-07).

    A limit of zero stops a core in a file. A core piped to a program, and another
    program that reads this one's memory, is stopped by not being dumpable, where the
    system knows that: not with `debuggers`, so that they and profilers can attach.
    """
    os.umask(0o077)  # S-60
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not debuggers and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def planted(path: Path) -> str | None:
    """Return why a file may be the work of another user, or None (S-60).

    A file of another user is no trap by itself: a container is often given one. It is
    one in a folder where everybody can lay it, as in /tmp.
    """
    try:
        found, folder = path.stat(), path.absolute().parent.stat()
    except OSError:
        return None  # none there, or whoever opens it says what is wrong
    if found.st_mode & stat.S_IWOTH:
        return f"{path.absolute()} can be written by every user: chmod o-w it"
    if found.st_uid not in {0, os.geteuid()} and folder.st_mode & stat.S_IWOTH:
        return (
            f"{path.absolute()} belongs to another user, in a folder where everybody "
            "may lay files: start in a folder of your own"
        )
    return None
