"""Masks in the stored copy of an exchange what rules find; traffic never sees it.

A match is overwritten character by character, so that JSON stays JSON and what an
answer streams in many events is found across them. Patterns are RE2's: linear in time.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Self, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storage.records import Edit, Exchange, Fault, Judgement, Progress
from storage.writable import writable

Path: TypeAlias = tuple[str | int, ...]
_Step: TypeAlias = str | int | None  # None is any

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]++')
_COLON = re.compile(r"[ \t\r\n]*+:")
_DATA = re.compile(r"^data:[ ]?(.*?)\r?$", re.MULTILINE)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\*)\]")
_EVENT = ("type", "item_id", "output_index", "content_index")  # whose text goes on

MASK = "*"


class Rule(msgspec.Struct, frozen=True):
    """What is masked: matches of a pattern in any text, or all text under a path."""

    name: str
    pattern: str = ""
    path: str = ""


class _Text(msgspec.Struct):
    """A JSON string or number: where it stands, and what it says."""

    start: int
    end: int
    path: Path
    said: str
    quoted: bool


class Masker:
    """Applies rules. Raises `ValueError` where a rule cannot be read."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._patterns = [(r.name, _compiled(r.pattern)) for r in rules if r.pattern]
        self._paths = [(r.name, _steps(r.path)) for r in rules if r.path]

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return an exchange as it may be kept; its flags tell which rules hit."""
        hits: set[str] = set()
        request = self._body(exchange.request, hits)
        asked = bool(hits)
        said: set[str] = set()
        answer = self._body(exchange.answer, said)
        error = self._body(exchange.error or b"", said)
        tags = self._tags(exchange.tags, hits)
        told = {
            "model_asked": self._value(("model",), exchange.model_asked, hits),
            "model_served": self._value(("model",), exchange.model_served, hits),
            "target": self._plain(exchange.target, hits),
        }
        edits = tuple(self._edit(edit, hits) for edit in exchange.edits)
        judged = self._judged(exchange, said)
        if not (hits or said):
            return exchange
        changes: dict[str, object] = {
            **told,
            "tags": tags,
            "edits": edits,
            "flags": (*exchange.flags, f"redacted={'+'.join(sorted(hits | said))}"),
        }
        if asked:
            changes |= {
                "request": request,
                "request_sha256": sha256(request).digest(),
                "request_size": len(request),
                "prompt_preview": "",
            }
        if hits:  # what was sent cannot be made from this any more
            changes["sent_sha256"] = b""
        if said:
            grown = len(answer) - len(exchange.answer)
            changes |= {
                **judged,
                "answer": answer,
                "answer_sha256": sha256(answer).digest(),
                "answer_size": exchange.answer_size + grown,
                "answer_preview": "",
                "answer_keys": (),
                "error": error or None,
            }
        return msgspec.structs.replace(exchange, **changes)

    def tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return tags as they may be kept, given with an exchange or later."""
        return self._tags(tags, set())

    def progress(self, progress: Progress) -> Progress:
        """Return what may be noted of an exchange under way: none of its answer yet."""
        exchange = self.exchange(progress.exchange)
        return Progress(exchange=exchange, part=b"", at_byte=0)

    def _tags(self, tags: Mapping[str, str], hits: set[str]) -> dict[str, str]:
        return {
            key: self._value(("metadata", key), text, hits)
            for key, text in tags.items()
        }

    def _judged(self, exchange: Exchange, hits: set[str]) -> dict[str, object]:
        """Return what judgements say, masked; of a masked answer no word is quoted."""
        if not exchange.judgements:
            return {}
        judgements = tuple(
            msgspec.structs.replace(
                judgement,
                schema=self._plain(judgement.schema, hits),
                faults=tuple(self._fault(fault, hits) for fault in judgement.faults),
            )
            for judgement in exchange.judgements
        )
        path = self._plain(exchange.error_path or "", hits)
        schema = self._plain(exchange.schema or "", hits)
        if hits:
            judgements = tuple(_wordless(judgement) for judgement in judgements)
        return {
            "judgements": judgements,
            "error_path": path if exchange.error_path is not None else None,
            "schema": schema if exchange.schema is not None else None,
        }

    def _fault(self, fault: Fault, hits: set[str]) -> Fault:
        return Fault(
            *(self._plain(text, hits) for text in (fault.at, fault.rule, fault.message))
        )

    def _edit(self, edit: Edit, hits: set[str]) -> Edit:
        if edit.where == "header":
            value = self._plain(edit.value, hits)
        else:
            texts = _texts(edit.value, 0)
            for text in texts:
                text.path = (edit.member, *text.path)
            value = _spliced(edit.value, self._masked([texts], hits, joined=False))
        return msgspec.structs.replace(edit, value=value)

    def _body(self, body: bytes, hits: set[str]) -> bytes:
        """Return a body masked: JSON, events or text; nothing of what is neither."""
        if not body:
            return body
        try:
            text = body.decode()
        except UnicodeDecodeError:
            hits.add("unreadable")
            return b""
        if _is_json(text):
            text = _spliced(text, self._masked([_texts(text, 0)], hits, joined=False))
        elif found := [match for match in _DATA.finditer(text) if _is_json(match[1])]:
            text = self._between([match.span(1) for match in found], text, hits)
            told = [_texts(match[1], match.start(1)) for match in found]
            text = _spliced(text, self._masked(told, hits, joined=True))
        else:
            text = self._plain(text, hits)
        return text.encode(errors="replace")

    def _between(
        self, spans: Sequence[tuple[int, int]], text: str, hits: set[str]
    ) -> str:
        """Mask what stands between these spans; each character stays in its place."""
        parts: list[str] = []
        at = 0
        for begin, end in spans:
            parts += (self._plain(text[at:begin], hits), text[begin:end])
            at = end
        return "".join((*parts, self._plain(text[at:], hits)))

    def _masked(
        self, documents: list[list[_Text]], hits: set[str], *, joined: bool
    ) -> list[_Text]:
        """Return the texts that change, masked."""
        groups: dict[object, list[_Text]] = {}
        changed: list[_Text] = []
        for number, document in enumerate(documents):
            keys = _keys(document) if joined else None
            for at, text in enumerate(document):
                for name, steps in self._paths:
                    if _is_under(text.path, steps) and text.said:
                        hits.add(name)
                        changed.append(text)
                key = keys[at] if keys else None
                groups.setdefault(key or (number, at), []).append(text)
        for text in changed:
            text.said = MASK * len(text.said)
        for group in groups.values():
            whole = "".join(text.said for text in group)
            masked = self._plain(whole, hits)
            if masked == whole:
                continue
            at = 0
            for text in group:
                said = masked[at : at + len(text.said)]
                at += len(said)
                if said != text.said:
                    text.said = said
                    changed.append(text)
        return changed

    def _value(self, path: Path, text: str, hits: set[str]) -> str:
        """Mask a text that is kept apart from the body which it stands in."""
        for name, steps in self._paths:
            if text and _is_under(path, steps):
                hits.add(name)
                text = MASK * len(text)
        return self._plain(text, hits)

    def _plain(self, text: str, hits: set[str]) -> str:
        for name, pattern in self._patterns:
            # A lone surrogate, which JSON may spell, is no text to RE2.
            seen = writable(text)
            parts: list[str] = []
            at = 0
            for match in pattern.finditer(seen):
                begin, end = match.span()
                if end > begin:
                    parts += (text[at:begin], MASK * (end - begin))
                    at = end
            if parts:
                hits.add(name)
                text = "".join((*parts, text[at:]))
        return text


def _wordless(judgement: Judgement) -> Judgement:
    faults = tuple(Fault(fault.at, fault.rule, "") for fault in judgement.faults)
    return msgspec.structs.replace(judgement, faults=faults)


def _compiled(pattern: str) -> re.Pattern[str]:
    import re2  # type: ignore[import-untyped]  # it has no types; 2 MiB, late: few mask

    options = re2.Options()
    options.log_errors = False
    try:
        compiled: re.Pattern[str] = re2.compile(pattern, options)  # of the same shape
    except re2.error as exc:
        raise ValueError(f"the pattern '{pattern}' cannot be read: {exc}") from exc
    return compiled


def _steps(path: str) -> tuple[_Step, ...]:
    """Return a path's steps: `$.messages[*].content`, members and places alone."""
    rest = path.removeprefix("$")
    rest = rest if rest.startswith((".", "[")) else f".{rest}"
    steps: list[_Step] = []
    while rest:
        match = _STEP.match(rest)
        if match is None:
            raise ValueError(f"'{path}' is no path: write $.messages[*].content")
        member, place = match.groups()
        if place is not None:
            steps.append(None if place == "*" else int(place))
        else:
            steps.append(None if member == "*" else member)
        rest = rest[match.end() :]
    return tuple(steps)


def _is_under(path: Path, steps: tuple[_Step, ...]) -> bool:
    return len(path) >= len(steps) and all(
        step is None or step == at for step, at in zip(steps, path, strict=False)
    )


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return text.lstrip()[:1] in {"{", "[", '"'}


def _texts(document: str, at: int) -> list[_Text]:
    """Return the strings and numbers of a JSON text, with their paths."""
    return list(_walk(document, at))


def _walk(document: str, at: int) -> Iterator[_Text]:
    path: list[str | int] = []
    key: str | None = None
    for match in _TOKEN.finditer(document):
        word = match[0]
        if word in "{[":
            path.append("" if word == "{" else 0)
        elif word in "}]":
            path.pop()
        elif word == ",":
            last = path[-1]
            path[-1] = last + 1 if isinstance(last, int) else ""
        elif word == ":":
            path[-1] = key or ""
        elif word[0] == '"' and path and path[-1] == "" and _is_key(document, match):
            key = json.loads(word)
        elif word[0] == '"':
            said = json.loads(word)
            yield _Text(
                at + match.start(), at + match.end(), tuple(path), said, quoted=True
            )
        elif word not in {"true", "false", "null"}:
            yield _Text(
                at + match.start(), at + match.end(), tuple(path), word, quoted=False
            )


def _is_key(document: str, match: re.Match[str]) -> bool:
    return _COLON.match(document, match.end()) is not None


def _keys(document: list[_Text]) -> list[object]:
    """Return for each text what it goes on from; None where it stands alone.

    Only the deltas of a stream go on: of one choice, tool call or item at a time.
    """
    places = {
        text.path[:-1]: text.said for text in document if text.path[-1:] == ("index",)
    }
    event = tuple(
        (text.path, text.said)
        for text in document
        if len(text.path) == 1 and text.path[0] in _EVENT
    )
    return [
        (event, tuple(places.get(text.path[:n], text.path[n - 1]) for n in _ends(text)))
        if text.quoted and {"delta", "text"} & set(text.path)
        else None
        for text in document
    ]


def _ends(text: _Text) -> range:
    return range(1, len(text.path) + 1)


def _spliced(text: str, changed: Sequence[_Text]) -> str:
    """Return a text with these of its strings written anew."""
    parts: list[str] = []
    at = 0
    for one in sorted({one.start: one for one in changed}.values(), key=_start):
        parts += (text[at : one.start], json.dumps(one.said) if one.quoted else "0")
        at = one.end
    return "".join((*parts, text[at:]))


def _start(text: _Text) -> int:
    return text.start


class RedactSettings(BaseModel):
    """One thing that is masked in what is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="What the record calls it."
    )
    pattern: str = Field(default="", description="What is masked in any text, in RE2.")
    path: str = Field(
        default="", description="Where all text is, such as $.messages[*].content."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.pattern) == bool(self.path):
            raise ValueError("a rule has a pattern or a path, and not both")
        Masker([Rule(self.name, self.pattern, self.path)])
        return self
