"""The program with a seeded bug: answers go out before their commit.

A slow disk widens the moment between the two, so that a kill hits it. `late` is the
same slow disk without the bug: it shows that the slowness by itself is no fault.
"""

import sys
import time
from collections.abc import Sequence

from proxy.cli import main
from storage.recorder import Recorder, _Entry
from storage.records import Exchange
from storage.writer import Item, Tally, Writer

SLOW_S = 0.03


async def keep_early(self: Recorder, exchange: Exchange) -> bool:
    """Say that an exchange is on disk as soon as it waits for that."""
    self._put(_Entry(exchange, len(exchange.request) + len(exchange.answer), None))
    return True


write = Writer.write


def write_slowly(self: Writer, items: Sequence[Item], tally: Tally) -> None:
    """Commit as on a slow disk."""
    time.sleep(SLOW_S)
    write(self, items, tally)


if __name__ == "__main__":
    Writer.write = write_slowly  # type: ignore[method-assign]  # the slow disk
    if sys.argv.pop(1) == "early":
        Recorder.keep = keep_early  # type: ignore[method-assign]  # the bug
    main()
