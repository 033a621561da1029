"""`spiritsafe demo`: the real proxy in front of a scripted upstream."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxy.commands import printing
from proxy.commands.errors import CannotStart
from proxy.commands.listing import show_list
from proxy.commands.opening import opened
from proxy.demo.run import run
from proxy.demo.serve import started
from storage.queries.pages import page

# -P: what lies in the current folder is not ours to import.
SERVE = (sys.executable, "-P", "-c", "from proxy.cli import main; main()", "serve")


def demo(db: Path | None) -> int:
    """Send calls through a proxy of its own, and list what it recorded."""
    if db is None:
        db = Path(tempfile.mkdtemp(prefix="spiritsafe-demo-")) / "demo.db"
    path = db.absolute()

    @contextmanager
    def start_proxy(upstream: str) -> Iterator[str]:
        # Neither a settings file nor variables: they could name a real upstream.
        with (
            tempfile.TemporaryDirectory() as empty,
            started(
                [
                    *SERVE,
                    "--listen=127.0.0.1:0",
                    "--upstream",
                    upstream,
                    "--db",
                    str(path),
                ],
                folder=empty,
                environment={
                    name: value
                    for name, value in os.environ.items()
                    if not name.upper().startswith("SPIRITSAFE_")
                },
            ) as address,
        ):
            yield address

    try:
        run(start_proxy=start_proxy, show=lambda: _list(path), say=printing.say)
    except RuntimeError as exc:
        raise CannotStart(str(exc)) from exc
    _hint(path)
    return 0


def _list(path: Path) -> None:
    show_list(path)


def _hint(path: Path) -> None:
    with opened(path) as library:
        (newest,) = page(library, None, limit=1).rows
    printing.say(f"\nThe file stays at {path}. Try next:")
    printing.say(f"  spiritsafe show {newest.id} --db {path}")
    printing.say(f"  spiritsafe verify --db {path}")
    printing.say(f"  spiritsafe export --format openai-chat --db {path}")
