"""Asks a process of its own for the JSON Schema of a pydantic model.

To import a module is to run it: it gets bounds, no secrets, and an end.
"""

import contextlib
import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from proxy.commands.errors import CannotStart, Refused, WrongUse

TIMEOUT_S = 30.0
"""Of the import; large packages take some seconds where the disk is cold."""

_MOST_TOLD = 300
_PASSED_ON = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR")


def schema_of(
    spec: str, *, python: str | None = None, timeout_s: float = TIMEOUT_S
) -> bytes:
    """Return the JSON Schema of the model that `module:Class` names.

    Shapes: the module is found as `python` finds it from the working directory.
    Raises: `WrongUse`; `Refused` with the last line that the import said;
    `CannotStart` where there is no such Python.
    """
    module, _, name = spec.partition(":")
    names = [*module.split("."), *name.split(".")]
    if not all(part.isidentifier() for part in names):
        raise WrongUse(
            f"--pydantic '{spec}': write module:Class, as app.models:Invoice"
        )
    with TemporaryDirectory() as folder:
        made, said = Path(folder, "schema.json"), Path(folder, "said")
        code = _run(
            [python or sys.executable, "-B", "-c", _child(), spec, str(made)],
            said=said,
            timeout_s=timeout_s,
        )
        if code is None:
            raise Refused(f"{spec} took longer than {timeout_s:g} s to be imported")
        if code or not made.exists():
            raise Refused(f"{spec} cannot be imported: {_last(said) or f'exit {code}'}")
        return made.read_bytes()


def _run(command: list[str], *, said: Path, timeout_s: float) -> int | None:
    """Run a command in a session of its own; return its code, None if time ran out."""
    env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    with said.open("wb") as stderr:
        try:
            child = subprocess.Popen(  # noqa: S603  the person's own module
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=env,
                start_new_session=True,
            )
        except OSError as exc:
            raise CannotStart(f"{command[0]} does not start: {exc.strerror}") from exc
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # All that the import began goes with it, also where it ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _child() -> str:
    return files("proxy.commands").joinpath("model_schema.py").read_text("utf-8")


def _last(said: Path) -> str:
    lines = said.read_text("utf-8", "replace").strip().splitlines()
    return lines[-1][:_MOST_TOLD] if lines else ""
