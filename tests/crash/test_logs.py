"""A program whose words nobody takes goes on serving: full disk, closed pipe (F-71)."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.crash.running import COMMAND, ROOT, SMALL

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def ask(path: Path) -> bytes:
    """Ask a program at a socket for its health."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:  # it does not listen yet
            await asyncio.sleep(0.01)
            continue
        break
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    told = await reader.read()
    writer.close()
    await writer.wait_closed()
    return told


@pytest.mark.parametrize("place", ["full", "closed"])
async def test_f71_f72_where_nobody_takes_its_words_it_serves_on(
    tmp_path: Path, place: str
) -> None:
    if place == "full":
        words = os.open("/dev/full", os.O_WRONLY)
    else:
        gone, words = os.pipe()
        os.close(gone)
    path = tmp_path / "s.sock"
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("serve", "--listen", f"unix:{path}", "--db", str(tmp_path / "s.db")),
        *("--upstream", "http://127.0.0.1:9/v1"),
        cwd=tmp_path,
        env={**os.environ, **SMALL, "PYTHONPATH": str(ROOT)},
        stdout=words,
        stderr=words,
    )
    os.close(words)
    try:
        async with asyncio.timeout(30):
            assert (await ask(path)).endswith(b"ok\n")
        assert process.returncode is None
        process.terminate()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert not path.with_name("s.db-wal").exists()  # it stopped in good order
