"""Stitches the chunks of a streamed chat completion."""

from collections.abc import Iterable

from proxy.sse import Event
from proxy.stitch.chunks import stitch_choices
from proxy.stitch.outcome import Stitched
from proxy.stitch.tools import ToolCalls
from proxy.stitch.values import extend_arrays, write_json
from storage.records import Json

# Text in these counts as the model's first token; vLLM renamed the third to the second
# in 2025-11.
SPOKEN = frozenset({"content", "reasoning", "reasoning_content", "refusal"})
AUDIO_TEXTS = frozenset({"data", "transcript"})
AUDIO_WHOLE = frozenset({"id", "data", "transcript", "expires_at"})


def stitch_chat(events: Iterable[Event], *, ended_clean: bool) -> Stitched:
    """Return the ChatCompletion that these events spell.

    Shapes: `ended_clean` says whether the body ended as its framing says it should.
    Source: wire facts 2.3 to 2.6.
    """
    return stitch_choices(
        events, _Choice, kind="chat.completion", ended_clean=ended_clean
    )


class _Choice:
    """One choice so far; its texts are lists of fragments until the end."""

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self._role: str | None = None
        self._texts: dict[str, list[str]] = {}  # by key of the delta
        self._parts: list[Json] = []  # of a content that comes as an array
        self._tools: ToolCalls | None = None
        self._call: dict[str, Json] = {}
        self._audio: dict[str, Json] = {}
        self._others: dict[str, Json] = {}  # unknown keys of the delta
        self._logprobs: dict[str, Json] = {}
        self._finish_reason: Json = None
        self._beside: dict[str, Json] = {}  # unknown keys of the choice

    def take(self, entry: dict[str, Json]) -> bool:
        """Add the entry of one chunk; return whether it held text of the model."""
        spoke = False
        for key, value in entry.items():
            if not value and (value is None or key == "finish_reason"):
                continue
            if key == "delta" and isinstance(value, dict):
                spoke = self._take_delta(value)
            elif key == "finish_reason":
                self._finish_reason = value
            elif key == "logprobs" and isinstance(value, dict):
                extend_arrays(self._logprobs, value)
            elif key == "message" and isinstance(value, dict):
                # A relay that sends the whole answer as one chunk has no delta.
                if "delta" not in entry and not self._texts:
                    spoke = self._take_delta(value)
            elif key not in {"index", "delta", "message"}:
                self._beside[key] = value
        return spoke

    def _take_delta(self, delta: dict[str, Json]) -> bool:
        spoke = False
        for key, value in delta.items():
            if isinstance(value, str) and key != "role":
                self._take_text(key, value)
                spoke = spoke or (key in SPOKEN and value != "")
            elif value is not None:
                spoke = self._take_other(key, value) or spoke
        return spoke

    def _take_text(self, key: str, text: str) -> None:
        texts = self._texts.get(key)
        if texts is None:
            self._texts[key] = [text]
        else:
            texts.append(text)
        if key == "content" and self._parts and text:
            self._parts.append({"type": "text", "text": text})

    def _take_other(self, key: str, value: Json) -> bool:
        """Add what is no text; return whether the model speaks in it."""
        if key == "role":
            self._role = value if isinstance(value, str) and value else self._role
        elif key == "tool_calls" and isinstance(value, list):
            if self._tools is None:
                self._tools = ToolCalls()
            for fragment in value:
                if isinstance(fragment, dict):
                    self._tools.take(fragment)
            return bool(value)
        elif key == "function_call" and isinstance(value, dict):
            _append(self._call, value, frozenset({"arguments"}))
            return True
        elif key == "audio" and isinstance(value, dict):
            _append(self._audio, value, AUDIO_TEXTS)
            return not AUDIO_TEXTS.isdisjoint(value)
        elif key == "content" and isinstance(value, list):
            self._take_parts(value)
            return bool(value)
        elif isinstance(value, list):
            extend_arrays(self._others, {key: value})
        else:
            self._others[key] = value
        return False

    def _take_parts(self, parts: list[Json]) -> None:
        """Add content parts (Mistral's reasoning models), keeping text before them."""
        before = "".join(self._texts.get("content", ()))
        if before and not self._parts:
            self._parts.append({"type": "text", "text": before})
        self._parts.extend(parts)

    def whole(self, index: int) -> dict[str, Json]:
        """Return the choice, once no entry is to come."""
        texts = {key: "".join(texts) for key, texts in self._texts.items()}
        message: dict[str, Json] = {"role": self._role or "assistant"}
        message |= {"content": None, "refusal": None} | self._others | texts
        if self._parts:
            message["content"] = self._parts
        if self._tools is not None:
            if calls := self._tools.whole():
                message["tool_calls"] = calls
            self.flags |= self._tools.flags
        if self._call:
            message["function_call"] = {"name": "", **_joined(self._call)}
        if self._audio:
            message["audio"] = _joined(self._audio)
        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs or None,
            "finish_reason": self._finish_reason or self._audio_finish(),
            **self._beside,
        }

    def _audio_finish(self) -> str | None:
        """Return `stop` for whole audio, which may come without a finish reason.

        The last chunk then holds `expires_at` alone; Node's client reads it so too.
        """
        fragments = self._audio.get("data", ())
        if any(len(text) % 4 or text.endswith("=") for text in fragments[:-1]):
            self.flags.add("audio_unaligned")  # joined, the base64 may not decode
        return "stop" if self._audio.keys() >= AUDIO_WHOLE else None


def _append(
    kept: dict[str, Json], part: dict[str, Json], texts: frozenset[str]
) -> None:
    """Collect the fragments of `texts` as lists; of anything else, the last wins."""
    for key, value in part.items():
        if value is None:
            continue
        if key in texts:
            text = value if isinstance(value, str) else write_json(value).decode()
            kept.setdefault(key, []).append(text)
        elif value != "":
            kept[key] = value


def _joined(part: dict[str, Json]) -> dict[str, Json]:
    return {
        key: "".join(value) if isinstance(value, list) else value
        for key, value in part.items()
    }
