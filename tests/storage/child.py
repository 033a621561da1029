"""Records in a loop until it is killed, and says on stdout what was acknowledged."""

import asyncio
import sys
from pathlib import Path

from storage.recorder import Recorder
from storage.records import Progress
from tests.storage.make import chat, clock, exchange


async def record_on(recorder: Recorder, lane: int) -> None:
    """Record one conversation after the other; never returns."""
    turns = [("user", f"lane {lane}")]
    while True:
        made = exchange(chat(*turns), text=f"{lane} {len(turns)} " * 20)
        recorder.accept(made.id)
        if lane == 0:
            begun = exchange(state="open", answer=b"", answer_keys=())
            recorder.accept(begun.id)
            recorder.note(Progress(exchange=begun, part=b"so far", at_byte=0))
        await recorder.keep(made)
        sys.stdout.write(made.id + "\n")
        sys.stdout.flush()
        turns += [("assistant", made.answer_preview), ("user", "and?")]


async def main(path: Path) -> None:
    """Record in eight lanes."""
    async with (
        Recorder.open(path, clock=clock) as recorder,
        asyncio.TaskGroup() as group,
    ):
        for lane in range(8):
            group.create_task(record_on(recorder, lane))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
