"""Starts a server as a process of its own and ends it, by its id, come what may."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

GREETING: Final = "listening on "
END_TIMEOUT_S: Final = 40.0  # above the proxy's own `drain_s`


@contextmanager
def started(
    command: Sequence[str],
    *,
    folder: str | None = None,
    environment: Mapping[str, str] | None = None,
    end_timeout_s: float = END_TIMEOUT_S,
) -> Iterator[str]:
    """Run `command` while the block runs; the value is the address it listens on.

    Shapes: its first line on stdout is `listening on http://127.0.0.1:8787`; `folder`
    and `environment` are ours where none are given.
    Units: it is killed `end_timeout_s` after it was told to end.
    Raises: `RuntimeError` where it ends or says something else instead.
    """
    process = subprocess.Popen(  # noqa: S603  the caller's own command, no shell
        command, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
    )
    with process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith(GREETING):
                raise RuntimeError(
                    f"'{' '.join(command)}' did not say where it listens, but "
                    f"'{line.strip()}': see the lines above"
                )
            yield line.removeprefix(GREETING).strip()
        finally:
            process.terminate()
            try:
                process.wait(end_timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
