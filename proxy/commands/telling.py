"""Says things on stdout and stderr without ever making traffic wait for a reader.

A full pipe stops whoever writes to it, and with the event loop every stream; a disk
full of logs or a reader that left must not end the program either (F-71, F-72).
"""

import logging
import os
import queue
import select
import sys
import threading

MOST_LINES = 1000
"""Lines of the log that wait to be written; further ones are counted and dropped."""

LAST_WORDS_S = 1.0
"""What a blocked log gets at the end."""

STDERR = 2


class Log(logging.Handler):
    """Writes lines to stderr from a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._lost = 0
        self._writer = threading.Thread(target=self._write, name="log", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line over; where the log is not taken, count it."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Wait for what is not written yet, but not for ever."""
        super().close()
        try:
            self._lines.put(None, timeout=LAST_WORDS_S)
        except queue.Full:
            return
        self._writer.join(LAST_WORDS_S)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost, self._lost = self._lost, 0
            if lost:
                line += f"\nWARNING log: {lost} lines of the log were lost before this"
            if not _written(f"{line}\n".encode("utf-8", "backslashreplace")):
                self._lost += lost + 1


def announce(text: str) -> None:
    """Write to stdout, unless nobody takes it."""
    _, takes, _ = select.select([], [sys.stdout], [], 0)
    if not takes:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:  # nobody does, and what is left must not be tried again
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def hold_files() -> None:
    """Have stdin, stdout and stderr open, or the next file opened gets their number.

    What anything then writes to stderr would land in the recordings.
    """
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(nowhere, True)
    os.close(nowhere)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  for good
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  for good


def _written(data: bytes) -> bool:
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(STDERR, left) :]
    except OSError:
        return False
    return True
