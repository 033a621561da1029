"""Takes the response out of a streamed Responses API answer.

Nothing is put together from deltas: the terminal event holds the whole object.
"""

from collections.abc import Iterable

from proxy.sse import Event
from proxy.stitch.outcome import Stitched
from proxy.stitch.values import read_json, write_json
from storage.records import Json

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


def stitch_responses(events: Iterable[Event]) -> Stitched:
    """Return the Response that these events end with, or its finished items.

    Source: wire facts 4.1. There is no `[DONE]`, and the way the body ended says
    nothing: complete means that a terminal event with the response was seen, be it
    `response.failed`.
    """
    answer = _Answer()
    for event in events:
        if answer.terminal or event.data.startswith(b"[DONE]"):
            break
        # Nine events of ten are deltas: the first one's time is all they are read for.
        if answer.first_token_us is None or not event.name.endswith(b".delta"):
            answer.take(event)
    return answer.stitched()


class _Answer:
    """What the events said so far."""

    def __init__(self) -> None:
        self.terminal = False
        self.first_token_us: int | None = None
        self._response: dict[str, Json] = {}
        self._items: dict[int, Json] = {}  # finished ones, by place in the output
        self._error: Json = None
        self._broken = False  # an error came where the response should have
        self._flags: set[str] = set()

    def take(self, event: Event) -> None:
        """Read one event."""
        try:
            said = read_json(event.data)
        except (ValueError, RecursionError):
            if event.data and not event.unfinished and event.data[:1] != b":":
                self._flags.add("unparsed_event")
            return
        if not isinstance(said, dict):
            return
        kind = said.get("type")
        if not isinstance(kind, str):
            kind = event.name.decode("ascii", "replace")
        if isinstance(said.get("response"), dict):
            self._response = said["response"]
        if kind in TERMINAL:
            self.terminal = True
            self._error = self._response.get("error")
        elif kind == "error" or (said.get("error") and kind[:9] != "response."):
            self.terminal = True
            self._broken = True
            self._error = said.get("error") or said
        elif kind == "response.output_item.done":
            place = said.get("output_index")
            number = place if type(place) is int else len(self._items)
            self._items[number] = said.get("item")
        elif kind.endswith(".delta") and said.get("delta"):
            self.first_token_us = event.seen_us

    def stitched(self) -> Stitched:
        """Return what it comes to."""
        whole = dict(self._response)
        if self._items and not whole.get("output"):
            whole["output"] = [self._items[place] for place in sorted(self._items)]
        return Stitched(
            whole,
            self.terminal and not self._broken,
            write_json(self._error) if self._error else None,
            tuple(sorted(self._flags)),
            self.first_token_us,
        )
