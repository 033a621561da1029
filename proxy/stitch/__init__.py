"""Events to the object they spell, one module per API."""

from collections.abc import Iterable

from proxy.sse import Event
from proxy.stitch.chat import stitch_chat
from proxy.stitch.completions import stitch_completions
from proxy.stitch.outcome import Stitched
from proxy.stitch.responses import stitch_responses
from storage.records import Endpoint


def stitch(
    endpoint: Endpoint, events: Iterable[Event], *, ended_clean: bool
) -> Stitched:
    """Return what a stream of this endpoint spells.

    Shapes: `ended_clean` says whether the body ended as its framing says it should.
    """
    if endpoint == "responses":
        return stitch_responses(events)
    if endpoint == "completions":
        return stitch_completions(events, ended_clean=ended_clean)
    return stitch_chat(events, ended_clean=ended_clean)


__all__ = [
    "Stitched",
    "stitch",
    "stitch_chat",
    "stitch_completions",
    "stitch_responses",
]
