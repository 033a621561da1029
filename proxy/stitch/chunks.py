"""Folds a stream of chunks with `choices`: their envelope, and each choice by index.

Chat and legacy completions share all of this; what a choice holds is theirs.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from proxy.sse import Event
from proxy.stitch.outcome import Stitched
from proxy.stitch.values import is_index, read_json, write_json
from storage.records import Json

DONE = b"[DONE]"  # the official Python client ends at any data that starts so
NOT_KEPT = frozenset({"choices", "error", "object", "obfuscation"})
FIRST_COUNTS = frozenset({"id", "model", "created"})


class Choice(Protocol):
    """One choice so far."""

    flags: set[str]

    def take(self, entry: dict[str, Json]) -> bool:
        """Add the entry of one chunk; return whether it held text of the model."""

    def whole(self, index: int) -> dict[str, Json]:
        """Return the choice, once no entry is to come."""


def stitch_choices(
    events: Iterable[Event], make: Callable[[], Choice], *, kind: str, ended_clean: bool
) -> Stitched:
    """Return the object of type `kind` whose choices `make` begins.

    Source: wire facts 2.3, steps 1-4 and 6.
    """
    envelope = _Envelope()
    choices: dict[int, Choice] = {}
    for event in events:
        for entry in envelope.open(event):
            if not isinstance(entry, dict):
                continue
            index = entry.get("index") or 0
            if not is_index(index):
                envelope.flags.add("index_out_of_range")
                continue
            choice = choices.get(index)
            if choice is None:
                choice = choices[index] = make()
            if choice.take(entry) and envelope.first_token_us is None:
                envelope.first_token_us = event.seen_us
        if envelope.done:
            break
    wholes = [choices[index].whole(index) for index in sorted(choices)]
    finished = bool(wholes) and all(whole["finish_reason"] for whole in wholes)
    for choice in choices.values():
        envelope.flags |= choice.flags
    return Stitched(
        envelope.whole(kind, wholes) if wholes or envelope.named else {},
        finished and envelope.error is None and (envelope.done or ended_clean),
        envelope.error,
        tuple(sorted(envelope.flags)),
        envelope.first_token_us,
    )


class _Envelope:
    """What stands around the choices."""

    def __init__(self) -> None:
        self.done = False
        self.error: bytes | None = None
        self.flags: set[str] = set()
        self.first_token_us: int | None = None
        self.named: dict[str, Json] = {}  # what the first chunk that has it says
        self._usage: dict[str, Json] | None = None
        self._latest: dict[str, Json] = {}  # what the last chunk that has it says

    def open(self, event: Event) -> Sequence[Json]:
        """Return the entries of an event's `choices`, having read what is around."""
        if event.data.lstrip().startswith(DONE):
            self.done = True
            return ()
        try:
            chunk = read_json(event.data)
        except (ValueError, RecursionError):
            self._refuse(event)
            return ()
        if not isinstance(chunk, dict):
            return ()
        if self.error is None:
            if chunk.get("error"):
                self.error = write_json(chunk["error"])
            elif event.name == b"error":
                self.error = write_json(chunk)
        if chunk.get("usage") and isinstance(chunk["usage"], dict):
            self._usage = chunk["usage"]  # some send `{}` after the real one
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return ()
        self._read(chunk)
        return choices

    def _refuse(self, event: Event) -> None:
        """Note data that is no JSON.

        An event that the end of the stream cut off speaks for itself, and `data: :` is
        what Vertex partner endpoints send as keepalive.
        """
        if event.name == b"error" and self.error is None:
            self.error = write_json(event.data.decode(errors="replace"))
        elif event.data and not event.unfinished and not event.data.startswith(b":"):
            self.flags.add("unparsed_event")

    def _read(self, chunk: dict[str, Json]) -> None:
        for key, value in chunk.items():
            if value is None or key in NOT_KEPT:
                continue
            if key in FIRST_COUNTS:
                # Azure's first chunk has "" and 0; Ollama's id changes by chunk.
                if value and key not in self.named:
                    self.named[key] = value
            elif key != "usage":
                self._latest[key] = value

    def whole(self, kind: str, choices: list[dict[str, Json]]) -> dict[str, Json]:
        """Return the assembled object."""
        whole: dict[str, Json] = {
            "id": self.named.get("id", ""),
            "object": kind,
            "created": self.named.get("created", 0),
            "model": self.named.get("model", ""),
            "choices": choices,
        }
        if self._usage is not None:
            whole["usage"] = self._usage
        return whole | self._latest
