"""`spiritsafe verify`: proves that what is kept is what passed (P1)."""

from pathlib import Path

import msgspec

from proxy import splice
from proxy.commands import printing
from proxy.commands.flags import database
from proxy.commands.opening import found, opened
from storage.assemble import Kept
from storage.reading import Library
from storage.verify import DAMAGE, Finding, Progressed, check, verify

MOST_SHOWN = 100

# How findings begin that tell of the file, and not of one exchange or of counts.
_OF_FILE = ("integrity_check", "a part of the file", "piece ", "node ")


def verify_one(db: Path | None, name: str, *, as_json: bool = False) -> int:
    """Check one exchange; print the proof, or what is wrong."""
    with opened(db) as library:
        row = found(library, name)
        kept: Kept | None = None
        try:
            kept = library.whole(row)
            wrong = check(kept, reedit=splice.reapply) if row.content_kept else []
        except DAMAGE as exc:
            wrong = [f"it cannot be read: {exc}"]
    if as_json:
        findings = [{"id": row.id, "what": what} for what in wrong]
        printing.write_json(
            {"exchanges": 1, "sound": not wrong, "findings": findings}, indent=True
        )
    elif wrong:
        for what in wrong:
            printing.say(f"{row.id}: {what}")
    elif kept is None or not row.content_kept:
        printing.say(f"{row.id}: kept without content, so there is nothing to prove")
    else:
        for line in _proof(kept):
            printing.say(line)
    return 1 if wrong else 0


def _proof(kept: Kept) -> list[str]:
    row = kept.row
    body_edits = [edit.member for edit in kept.edits if edit.where == "body"]
    edited = f"the same with {', '.join(body_edits)} set" if body_edits else "the same"
    lines = [
        f"{row.id}: as it passed",
        f"received  {kept.request_sha256.hex()}  {row.request_size} bytes",
        f"sent      {kept.sent_sha256.hex()}  {edited}",
        f"answered  {kept.answer_sha256.hex()}  {row.answer_size} bytes",
    ]
    if kept.kept_size < row.answer_size:
        lines.append(f"Of the answer {kept.kept_size} bytes are kept, and its hash.")
    return lines


def verify_all(db: Path | None, *, as_json: bool = False) -> int:
    """Check the file and every exchange in it; print what is wrong."""
    path = database(db)
    with opened(path) as library:
        count, findings = _check_all(library)
    if as_json:
        printing.write_json(
            {
                "exchanges": count,
                "sound": not findings,
                "findings": [msgspec.to_builtins(finding) for finding in findings],
            },
            indent=True,
        )
        return 1 if findings else 0
    for finding in findings[:MOST_SHOWN]:
        printing.say(f"{finding.id or path}: {finding.what}")
    for line in advice(findings, path):
        printing.tell(f"spiritsafe: {line}")
    if findings:
        printing.tell(f"spiritsafe: {len(findings)} findings in {path}; --json has all")
        return 1
    printing.say(
        f"{path} is sound: {count} exchanges hold the bytes that passed, and what "
        "was sent is what was received with the declared edits"
    )
    return 0


def advice(findings: list[Finding], path: Path) -> list[str]:
    """Return what to do about findings, a sentence each.

    >>> advice([Finding("ex_1", "the bodies are missing")], Path("a.db"))[0][:37]
    'exchanges that are named are damaged:'
    """
    lines = []
    if any(finding.id for finding in findings):
        lines.append(
            "exchanges that are named are damaged: take them from a backup, or remove "
            "them with 'spiritsafe rm'; all others are as they passed"
        )
    told = [finding.what for finding in findings if not finding.id]
    if any(what.startswith(_OF_FILE) for what in told):
        lines.append(
            f"the file itself is damaged: stop the server, copy {path} with its -wal, "
            "go back to a backup, or let 'sqlite3 FILE .recover' save what it can; "
            "look at the disk before you go on"
        )
    if any(not what.startswith(_OF_FILE) for what in told):
        lines.append(
            "counts do not add up: what is there is sound, and something is missing "
            "that was recorded; a backup may have it"
        )
    return lines


def _check_all(library: Library) -> tuple[int, list[Finding]]:
    findings: list[Finding] = []
    count = 0
    rows = library.count()
    shared = 0
    with printing.progress("checking", rows) as done:
        for step in verify(library, reedit=splice.reapply):
            if isinstance(step, Progressed) and step.what == "pieces":
                shared = step.done * rows // step.total // 2  # about half of the time
                done(shared)
            elif isinstance(step, Progressed):
                count = step.done
                done(shared + count * (rows - shared) // max(rows, 1))
            else:
                findings.append(step)
    return count, findings
