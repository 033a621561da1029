"""Keeps what the process has in memory, keys and prompts, out of files and debuggers.

Swap is not ours to keep it from: encrypt it, or have none.
"""

import ctypes
import os
import resource
import sys

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
