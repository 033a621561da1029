"""The course of `spiritsafe demo`: what is started, sent, shown and said."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec

from proxy.demo.upstream import serving

MISSING = (
    "The demo talks through the official client, which is not installed: run "
    "'make setup' in a checkout, or pip install 'spiritsafe[demo]'."
)


def run(
    *,
    start_proxy: Callable[[str], AbstractContextManager[str]],
    show: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Send calls through the proxy and show what it recorded.

    Shapes: `start_proxy` takes the base URL of the upstream and gives the address that
    the proxy listens on; `show` prints what its file holds, after the proxy has ended.
    Raises: `RuntimeError` with a sentence where the official client is not installed.
    """
    if find_spec("openai") is None:
        raise RuntimeError(MISSING)
    from proxy.demo.calls import send  # noqa: PLC0415  needs the optional client

    say("A scripted upstream stands in for a provider: no model is asked, no key used.")
    with serving() as upstream, start_proxy(upstream) as proxy:
        say(f"scripted upstream {upstream}, spiritsafe {proxy}\n")
        for what, seen in send(f"{proxy}/v1"):
            say(f"  {what}: {seen}")
    say("\nRecorded, every answer scripted as its text says:\n")
    show()
