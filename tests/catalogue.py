"""The catalogue of what has to hold: each id, what it says, and the tests that prove it.

`catalogue.toml` holds the ids; tests claim them by name (`test_h64_…`, several in a
row, `test_j01_to_j11_…` for all between). `make catalogue` writes `CATALOGUE.md`.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROWS = HERE / "catalogue.toml"
PAGE = HERE / "CATALOGUE.md"
HANDBOOK = "shared/reliability.md"

WANTED = frozenset("PN")  # tiers: P every push, N nightly, R before a release
_CLAIMS = re.compile(r"test((?:_[hjsfl]\d\d(?:_to(?=_[hjsfl]\d\d))?)+)(?:_|$)")
_IN_HANDBOOK = re.compile(r"^(?:\* \*\*|\| )([HJSFL]-\d\d)\b", re.MULTILINE)
_OPEN = re.compile(r'^(([A-Z]-\d\d) = .*), reason = "open: [^"]*" \}$', re.MULTILINE)
_REASONS = re.compile(r"(open|not built yet|not ours|partly): \S.*")

HEAD = """\
# What has to hold, and what proves it

Made by `make catalogue` from `tests/catalogue.toml` and the names of the tests: do not
edit it. H is HTTP, J is JSON, S is security, F are faults, L is load. Tiers: P and N need
a test or a reason, R is tried before a release.

"""


class Row(NamedTuple):
    """One id of the catalogue; `reason` is why no test, or not a whole one, proves it."""

    tier: str
    says: str
    reason: str = ""


def rows(path: Path = ROWS) -> dict[str, Row]:
    """Return every id with its row, in the order of the file."""
    return {name: Row(**row) for name, row in tomllib.loads(path.read_text()).items()}


def claims(name: str) -> list[str]:
    """Return the ids that the name of a test claims.

    >>> claims("test_h37_h38_order_is_kept"), claims("test_j01_to_j03_are_flagged")
    (['H-37', 'H-38'], ['J-01', 'J-02', 'J-03'])
    """
    found = _CLAIMS.match(name)
    ids: list[str] = []
    for part in found[1].split("_")[1:] if found else []:
        if part == "to":
            continue
        letter, number = part[0].upper(), int(part[1:])
        first = number
        if f"_to_{part}" in name and ids:
            first = int(ids[-1][2:]) + 1
        ids += [f"{letter}-{n:02}" for n in range(first, number + 1)]
    return ids


def proving(root: Path = HERE) -> dict[str, list[str]]:
    """Return the tests that claim an id, by id, as `folder/test_file.py::test_name`."""
    proofs: dict[str, list[str]] = {}
    for path in sorted(root.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for claimed in claims(node.name):
                    test = f"{path.relative_to(root).as_posix()}::{node.name}"
                    proofs.setdefault(claimed, []).append(test)
    return {claimed: sorted(set(names)) for claimed, names in proofs.items()}


def complaints(
    known: Mapping[str, Row], proofs: Mapping[str, list[str]]
) -> Iterator[str]:
    """Yield what is wrong between the catalogue and the tests."""
    for claimed in sorted(proofs.keys() - known.keys()):
        yield f"{claimed} is in no catalogue, but named by {', '.join(proofs[claimed])}"
    for name, row in known.items():
        if row.reason and not _REASONS.fullmatch(row.reason):
            yield f"{name}: a reason begins with one of {_REASONS.pattern}"
        proved = name in proofs and not row.reason.startswith("not")
        if row.tier not in WANTED or proved:
            continue
        if name in proofs:
            yield f"{name} has tests now: remove its reason '{row.reason}'"
        elif not row.reason or row.reason.startswith("partly"):
            yield f"{name} ({row.says}) has neither a test nor a reason"


def page(known: Mapping[str, Row], proofs: Mapping[str, list[str]]) -> str:
    """Return `CATALOGUE.md`: one line for each id."""
    lines = [
        "| id | tier | what it is about | tests, or why there is none |",
        "|---|---|---|---|",
    ]
    for name, row in known.items():
        cells = [f"`{test}`" for test in proofs.get(name, [])]
        if row.reason and not (cells and row.reason.startswith("open")):
            cells.append(row.reason)
        lines.append(f"| {name} | {row.tier} | {row.says} | {'<br>'.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def settled(text: str, proofs: Mapping[str, list[str]]) -> str:
    """Return the text of `catalogue.toml` without the `open` of what has tests now."""
    return _OPEN.sub(lambda row: row[1] + " }" if row[2] in proofs else row[0], text)


def handbook() -> Path | None:
    """Return the handbook that names the ids, where it lies beside the checkout."""
    found = (above / HANDBOOK for above in HERE.parents)
    return next((path for path in found if path.exists()), None)


def named(text: str) -> list[str]:
    """Return the ids that a handbook introduces, each in a line of its own."""
    return _IN_HANDBOOK.findall(text)


def main() -> int:
    """Write the page, take out each `open` that is done, and say what lacks."""
    proofs = proving()
    ROWS.write_text(settled(ROWS.read_text(), proofs))
    known = rows()
    PAGE.write_text(page(known, proofs))
    wrong = list(complaints(known, proofs))
    sys.stderr.writelines(f"{complaint}\n" for complaint in wrong)
    wanted = [name for name, row in known.items() if row.tier in WANTED]
    count = sum(name in proofs for name in wanted)
    sys.stderr.write(f"{count} of {len(wanted)} ids of tiers P and N have a test\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
