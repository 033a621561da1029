"""Stitches the chunks of a streamed legacy completion."""

from collections.abc import Iterable

from proxy.sse import Event
from proxy.stitch.chunks import stitch_choices
from proxy.stitch.outcome import Stitched
from proxy.stitch.values import extend_arrays
from storage.records import Json


def stitch_completions(events: Iterable[Event], *, ended_clean: bool) -> Stitched:
    """Return the text_completion that these events spell.

    Shapes: `ended_clean` says whether the body ended as its framing says it should.
    Source: wire facts 4.2.
    """
    return stitch_choices(
        events, _Choice, kind="text_completion", ended_clean=ended_clean
    )


class _Choice:
    """One choice so far; its text is a list of fragments until the end."""

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self._texts: list[str] = []
        self._logprobs: dict[str, Json] = {}
        self._finish_reason: Json = None
        self._beside: dict[str, Json] = {}  # unknown keys

    def take(self, entry: dict[str, Json]) -> bool:
        """Add the entry of one chunk; return whether it held text of the model."""
        spoke = False
        for key, value in entry.items():
            if key == "text" and isinstance(value, str):
                self._texts.append(value)
                spoke = value != ""
            elif key == "logprobs" and isinstance(value, dict):
                extend_arrays(self._logprobs, value)
            elif key == "finish_reason":
                self._finish_reason = value or self._finish_reason
            elif key not in {"index", "text"} and value is not None:
                self._beside[key] = value
        return spoke

    def whole(self, index: int) -> dict[str, Json]:
        """Return the choice, once no entry is to come."""
        return {
            "index": index,
            "text": "".join(self._texts),
            "logprobs": self._logprobs or None,
            "finish_reason": self._finish_reason,
            **self._beside,
        }
