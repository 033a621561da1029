"""A real `spiritsafe serve` in a process of its own: started, asked, killed, stopped."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.crash.oracle import Sums
from tests.living import RawClient

ROOT = Path(__file__).parents[2]
# What a killed one leaves behind is searched for keys: 256 MiB of nothing take long.
SMALL = {"SPIRITSAFE_RESERVE_BYTES": str(1024 * 1024)}
COMMAND = (str(Path(sys.executable).with_name("spiritsafe")),)


@dataclass
class Running:
    """A serving process; `listening` tells the first line it said."""

    process: asyncio.subprocess.Process
    listening: str

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.listening.rpartition(":")[2])

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        await self.process.communicate()

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and what it said on stderr."""
        _, said = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


async def launch(
    *arguments: str,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    command: tuple[str, ...] = COMMAND,
) -> asyncio.subprocess.Process:
    """Start `spiritsafe serve` with these arguments in a folder, and go on."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SPIRITSAFE_")}
    return await asyncio.create_subprocess_exec(
        *command,
        "serve",
        *arguments,
        cwd=folder or ROOT,
        env={**kept, **SMALL, "PYTHONPATH": str(ROOT), **(variables or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def serving(
    db: Path,
    upstream: str,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    command: tuple[str, ...] = COMMAND,
) -> AsyncIterator[Running]:
    """Run `spiritsafe serve` on port 0 until the block ends; then it is killed."""
    process = await launch(
        *("--listen", "127.0.0.1:0", "--db", str(db), "--upstream", upstream),
        *arguments,
        variables=variables,
        command=command,
    )
    assert process.stdout is not None
    try:
        first = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", first)
        if found is None:
            _, said = await process.communicate()
            raise AssertionError(f"said {first!r} and {said.decode()!r}")
        yield Running(process, found[1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def refusal(
    *arguments: str,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Run `spiritsafe serve` that must not start; return its code and lines."""
    process = await launch(*arguments, folder=folder, variables=variables)
    try:
        async with asyncio.timeout(60):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode().splitlines()


async def until(told: Callable[[], bool]) -> None:
    """Wait for what only looking can tell."""
    while not told():  # noqa: ASYNC110  numbers and files wake nobody
        await asyncio.sleep(0.01)


async def metrics(port: int) -> dict[str, float]:
    """Return every sample of /metrics by its name and labels."""
    async with RawClient.connect(port) as client:
        await client.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        _, headers = await client.head()
        text = (await client.body(headers)).decode()
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines)}


def sums_of(samples: Mapping[str, float]) -> Sums:
    """Return P3's terms of a reading of /metrics."""

    def state(name: str) -> int:
        return int(sum(samples[key] for key in samples if f'state="{name}"' in key))

    return Sums(
        accepted=int(samples["spiritsafe_exchanges_accepted_total"]),
        complete=state("complete"),
        incomplete=state("incomplete"),
        unrecorded=state("unrecorded"),
        in_flight=int(samples["spiritsafe_exchanges_in_flight"]),
    )
