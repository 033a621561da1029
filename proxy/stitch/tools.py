"""Puts the fragments of tool calls together, also where their indexes are broken."""

import json
import re

from proxy.stitch.values import is_index, write_json
from storage.records import Json

RENAMED = "tool_renamed"

TEXT_KEYS = {"function": "arguments", "custom": "input"}
BLANKS = re.compile(r"\s*")


class _Call:
    """One tool call so far."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.renamed = False
        self._type = ""
        self._parts: dict[str, dict[str, Json]] = {}  # by kind: name and the like
        self._texts: dict[str, list[str]] = {"function": [], "custom": []}
        self._extra: dict[str, Json] = {}

    def take(self, fragment: dict[str, Json]) -> None:
        for key, value in fragment.items():
            if value is None or key == "index":
                continue
            if key in TEXT_KEYS and isinstance(value, dict):
                if not fragment.get("id"):
                    self.renamed |= self._renames(key, value.get("name"))
                self._take_part(key, value)
            elif key not in {"id", "type"}:
                self._extra[key] = value
            elif isinstance(value, str) and value and key == "id":
                self.id = value
            elif isinstance(value, str) and value:
                self._type = value

    def _renames(self, kind: str, name: Json) -> bool:
        """Return whether a name is another one, not the one so far once more or more.

        It may be a part of a name. Some clients join such, others keep the last, and so
        do we: servers that repeat a name are many (wire 2.3).
        """
        so_far = self._parts.get(kind, {}).get("name")
        if not isinstance(so_far, str) or not isinstance(name, str):
            return False
        return bool(name) and not name.startswith(so_far)

    def _take_part(self, kind: str, part: dict[str, Json]) -> None:
        kept = self._parts.setdefault(kind, {})
        for key, value in part.items():
            if value is None:
                continue
            if key != TEXT_KEYS[kind]:
                if value != "":
                    kept[key] = value
            elif isinstance(value, str):
                self._texts[kind].append(value)
            else:  # an object where its JSON text belongs (Ollama behind bridges)
                self._texts[kind].append(write_json(value).decode())

    def whole(self) -> dict[str, Json]:
        kind = "custom" if "custom" in self._parts else "function"
        call: dict[str, Json] = {"id": self.id, "type": self._type or kind}
        for name in self._parts or {kind: {}}:
            text = "".join(self._texts[name])
            part = {"name": "", **self._parts.get(name, {}), TEXT_KEYS[name]: text}
            call[name] = part
        return call | self._extra


class ToolCalls:
    """The tool calls of one choice.

    Shapes: `flags` says `index_out_of_range` where a fragment was left out, and once
    `whole` was asked for, `tool_args_concatenated` where two calls ran into one, and
    `tool_renamed` where the name of one may have come in parts.
    """

    def __init__(self) -> None:
        self.flags: set[str] = set()
        self._calls: list[_Call] = []
        self._last: _Call | None = None
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}

    def take(self, fragment: dict[str, Json]) -> None:
        """Add one fragment to the call it belongs to."""
        index = fragment.get("index")
        if index is not None and not is_index(index):
            self.flags.add("index_out_of_range")
            return
        call_id = fragment.get("id")
        call = self._find(index, call_id if isinstance(call_id, str) else "")
        call.take(fragment)
        self._last = call
        if call.id:
            self._by_id.setdefault(call.id, call)

    def _find(self, index: int | None, call_id: str) -> _Call:
        """Return the call that a fragment continues, or a new one.

        Indexes repeat over parallel calls or are missing (Gemini's compatible API,
        Ollama, relays), so an id that differs opens a call whatever the index says.
        """
        found = self._last if index is None else self._by_index.get(index)
        if found is None or (call_id and found.id not in {"", call_id}):
            found = self._by_id.get(call_id) if index is None or found else None
        if found is None:
            place = self._last.index if self._last else 0
            found = _Call(place if index is None else index)
            self._calls.append(found)
        if index is not None:
            self._by_index[index] = found
        return found

    def whole(self) -> list[dict[str, Json]]:
        """Return the calls in the order of their slots, without index."""
        calls = [call.whole() for call in sorted(self._calls, key=lambda c: c.index)]
        if any(call.renamed for call in self._calls):
            self.flags.add(RENAMED)
        for call in calls:
            if "function" in call and _runs_on(call["function"]["arguments"]):
                self.flags.add("tool_args_concatenated")
        return calls


def _runs_on(text: str) -> bool:
    """Return whether a second JSON object starts where the first one ends."""
    try:
        first, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    blanks = BLANKS.match(text, end)
    after = blanks.end() if blanks else end
    return isinstance(first, dict) and text.startswith("{", after)
