"""`spiritsafe schema infer`: proposes a schema from what was answered well."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from proxy import reread
from proxy.commands import printing
from proxy.commands.asking import asked
from proxy.commands.errors import NotFound, WrongUse
from proxy.commands.opening import opened
from proxy.said import said
from proxy.schemas import extract, slots, strict
from proxy.schemas.infer import Inference
from proxy.schemas.slots import Slot
from storage.answers import Answered, Answers
from storage.assemble import Row
from storage.queries.pages import AT_ONCE, page
from storage.queries.tree import Node
from storage.reading import Library
from storage.records import Json
from storage.verify import DAMAGE

NOT_JSON = "hold no JSON"
WRONG = "have a verdict that is not valid"
UNFIT = "did not end well, or are kept without content"


def infer(db: Path | None, *, where: str = "", tool: str = "", limit: int) -> int:
    """Print a schema that all answers that match pass, the newest ones first."""
    query = asked([where]) if where else None
    inference, left_out, taken = Inference(), Counter[str](), 0
    with opened(db) as library, printing.progress("reading", limit) as done:
        for number, found in enumerate(_values(library, query, tool, limit), 1):
            done(number)
            if isinstance(found, str):
                left_out[found] += 1
                continue
            for value in found:
                inference.add(value)
            taken += 1
    if not taken:
        raise NotFound("no answer that matches holds JSON to infer a schema from")
    printing.write_json(inference.schema(), indent=True)
    printing.tell(f"From {taken} answers; look it through, it allows what was seen.")
    for why, count in left_out.items():
        printing.tell(f"Left out: {count} {why}.")
    return 0


def _values(
    library: Library, query: Node | None, tool: str, limit: int
) -> Iterator[list[Json] | str]:
    """Yield the values of each exchange, or why there is none."""
    reader, tools = Answers(library.connection), set[str]()
    for row in islice(_newest(library, query), limit):
        if row.verdict not in {None, "valid"}:
            yield WRONG
            continue
        (answered,) = reader.of([row.seq])
        try:
            found = _slots(reader, answered, tool)
            if found is None:
                yield UNFIT
                continue
            tools |= {slot.tool for slot in found}
            if len(tools) > 1:
                names = ", ".join(sorted(name or "(text)" for name in tools))
                raise WrongUse(f"several are called ({names}): choose one with --tool")
            yield [_value(slot) for slot in found] or NOT_JSON
        except (*DAMAGE, strict.NotJson, strict.Unsound, RecursionError):
            yield NOT_JSON


def _newest(library: Library, query: Node | None) -> Iterator[Row]:
    cursor: str | None = None
    while True:
        found = page(library, query, cursor=cursor, limit=AT_ONCE, read=said)
        yield from found.rows
        cursor = found.cursor
        if cursor is None:
            return


def _slots(reader: Answers, row: Answered, tool: str) -> list[Slot] | None:
    """Return the texts of an answer, or its calls where there are none."""
    fit = row.state == "complete" and 200 <= row.status < 400 and row.content_kept
    if not fit or row.answer is None:
        return None
    whole = reread.spelled(row, reader.headers(row), reader.body(row))
    parts = slots.parts(row.endpoint, whole or {})
    if any(not part.ended for part in parts):
        return None
    calls = [slot for part in parts for slot in part.of("call")]
    if tool:
        return [slot for slot in calls if slot.tool == tool]
    return [slot for part in parts for slot in part.of("text")] or calls


def _value(slot: Slot) -> Json:
    read = extract.arguments if slot.kind == "call" else extract.content
    return read(slot.text)
