"""`spiritsafe show`: one exchange whole, for people, for programs, or as its bytes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from proxy import reread, splice
from proxy.commands import conversation, printing, rows
from proxy.commands.errors import NotFound, WrongUse
from proxy.commands.opening import found, opened, whole
from proxy.schemas.traits import fingerprint
from storage.assemble import Kept
from storage.judgements import Judged
from storage.records import HeaderPairs, Json

RAW = ("request", "sent", "answer")


def show(
    db: Path | None, name: str, *, raw: str | None = None, as_json: bool = False
) -> int:
    """Print one exchange; with `raw` the exact bytes of one of its bodies."""
    if raw is not None and raw not in RAW:
        raise WrongUse(f"--raw '{raw}': write {', '.join(RAW)}")
    with opened(db) as library:
        kept = whole(library, found(library, name))
    if raw is not None:
        _write_raw(kept, raw)
    elif as_json:
        printing.write_json(to_json(kept), indent=True)
    else:
        for line in lines(kept):
            printing.say(line)
    return 0


def _write_raw(kept: Kept, which: str) -> None:
    if not kept.row.content_kept:
        raise NotFound(f"{kept.row.id} is kept without content: the client said so")
    bodies = {"request": kept.request, "answer": kept.answer}
    if which == "sent":
        bodies["sent"] = splice.reapply(kept.request, kept.edits)
    sys.stdout.buffer.write(bodies[which])
    sys.stdout.buffer.flush()


def to_json(kept: Kept) -> dict[str, Json]:
    """Return an exchange as programs get it; bodies as text."""
    return {
        **rows.as_json(kept.row),
        "parent": kept.parent_id,
        "thread": kept.thread_id,
        "edits": [
            {"where": edit.where, "member": edit.member, "value": edit.value}
            for edit in kept.edits
        ],
        "dropped_tags": kept.dropped_tags,
        "flags": kept.flags,
        "previous_response_id": kept.row.previous_response_id,
        "retry_count": kept.row.retry_count,
        "prompt_fingerprint": _fingerprint(kept),
        "judgements": [_judged(one) for one in kept.judgements],
        "request_headers": _headers(kept.request_headers),
        "answer_headers": _headers(kept.answer_headers),
        "request_sha256": kept.request_sha256.hex(),
        "sent_sha256": kept.sent_sha256.hex(),
        "answer_sha256": kept.answer_sha256.hex(),
        "kept_answer_bytes": kept.kept_size,
        "chunks": [[chunk.after_us / 1000, chunk.size_bytes] for chunk in kept.chunks],
        "request": kept.request.decode("utf-8", "replace"),
        "answer": reread.text(kept),
        "assembled": reread.whole(kept) if kept.row.content_kept else None,
    }


def _judged(judged: Judged) -> dict[str, Json]:
    return {
        "slot": judged.slot,
        "schema": judged.schema,
        "digest": judged.digest.hex(),
        "why": judged.why,
        "verdict": judged.verdict,
        "reason": judged.reason,
        "followed": judged.followed,
        "judged_at": rows.moment(judged.judged_at),
        "faults": [msgspec.structs.asdict(fault) for fault in judged.faults],
    }


def _headers(pairs: HeaderPairs) -> list[list[str]]:
    return [[name.decode("latin-1"), value.decode("latin-1")] for name, value in pairs]


def lines(kept: Kept) -> Iterator[str]:
    """Yield what a person reads: the head, then the conversation."""
    yield from _head(kept)
    row = kept.row
    if not row.content_kept:
        yield (
            "\nThe content is not kept: the client opted out (store: false or null), "
            "it held the caller's key, or its time was over (keep_bodies_days)."
        )
        return
    for turn in conversation.asked(row.endpoint, kept.request):
        yield from _turn(turn)
    yield "\n── answer ──"
    answer = reread.whole(kept)
    if answer is None:
        yield _indented(reread.text(kept) or "(none)")
        return
    for turn in conversation.answered(row.endpoint, answer):
        yield from _turn(turn)


def _turn(turn: conversation.Turn) -> Iterator[str]:
    yield f"\n{turn.role}"
    yield _indented(conversation.pretty(turn.text))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _head(kept: Kept) -> Iterator[str]:
    row = kept.row
    model = row.model_served or row.model_asked
    if row.model_asked and model != row.model_asked:
        model = f"{row.model_asked} → {model}"
    yield "  ".join((row.id, rows.ending(row), row.finish_reason or "", model))
    yield from _facts(
        upstream=f"{row.upstream} {row.target}{' (stream)' * row.streamed}",
        completion=row.completion_id,
        time=_times(kept),
        usage=_usage(kept),
        tags=rows.tags_of(row),
        edits=", ".join(
            f"{edit.member}{': ' if edit.where == 'header' else ' = '}{edit.value}"
            for edit in kept.edits
        )
        or "none",
        dropped=" ".join(kept.dropped_tags),
        flags=" ".join(kept.flags),
        thread=_thread(kept),
        retries=str(row.retry_count or ""),
        error=(row.error or b"").decode("utf-8", "replace"),
        prompt=_fingerprint(kept),
        schema=row.schema or "",
        verdict=" at ".join(told for told in (row.verdict, row.error_path) if told),
    )
    for judged in kept.judgements:
        yield from _judgement(judged)


def _judgement(judged: Judged) -> Iterator[str]:
    """Yield what was judged, against what and why, and what is wrong with it."""
    told = " ".join(filter(None, (judged.verdict, judged.reason, judged.followed)))
    yield f"{'judged':<11}{told}: {judged.slot} by {judged.schema} ({judged.why})"
    for fault in judged.faults:
        yield f"{'':<11}- {fault.at or 'the whole'}: {fault.message} ({fault.rule})"


def _fingerprint(kept: Kept) -> str:
    """Return what `schema bind --prompt` takes; "" without a system prompt."""
    return fingerprint(kept.row.endpoint, splice.read(kept.request).values)


def _facts(**facts: str) -> Iterator[str]:
    for name, fact in facts.items():
        if fact:
            yield f"{name:<11}{fact}"


def _times(kept: Kept) -> str:
    row = kept.row
    told = [rows.moment(row.created_at) or ""]
    first, end = (rows.after_ms(row, at) for at in (row.first_token_at, row.ended_at))
    if first is not None:
        told.append(f"first token {first:.0f} ms")
    if end is not None:
        told.append(f"end {end:.0f} ms")
    told.append(f"of it ours {row.own_us / 1000:.2f} ms")
    reads = len(kept.chunks)
    told.append(f"{row.answer_size} bytes in {reads} read{'s' * (reads != 1)}")
    return ", ".join(told)


def _usage(kept: Kept) -> str:
    row = kept.row
    counts = {
        "prompt": row.prompt_tokens,
        "cached": row.cached_tokens,
        "completion": row.completion_tokens,
        "reasoning": row.reasoning_tokens,
    }
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n is not None)


def _thread(kept: Kept) -> str:
    if kept.parent_id is None:
        return ""
    return f"{kept.thread_id}, goes on from {kept.parent_id}"
