"""From what was written on the command line to a filter."""

from collections.abc import Sequence

from proxy.commands.errors import WrongUse
from storage.errors import BadQuery
from storage.queries.language import all_of, parse
from storage.queries.tree import Node, Term


def asked(
    words: Sequence[str] | None,
    *,
    model: str | None = None,
    upstream: str | None = None,
    status: int | None = None,
    state: str | None = None,
    tag: str | None = None,
) -> Node | None:
    """Return a filter from its words and from the flags that stand for terms of it.

    Raises: `WrongUse`, with the column counted in the words joined by blanks.
    """
    nodes = [_read("the filter", " ".join(words or ()))]
    if model is not None:
        nodes.append(Term("model", "=", model))
    if upstream is not None:
        nodes.append(Term("upstream", "=", upstream))
    if status is not None:
        nodes.append(Term("status", "=", status))
    if state is not None:
        nodes.append(_read(f"--state '{state}'", f'state:"{state}"'))
    if tag is not None:
        key, equals, value = tag.partition("=")
        if not (key and equals):
            raise WrongUse(f"--tag '{tag}': write key=value")
        nodes.append(Term(f"tag.{key}", "=", value))
    return all_of(nodes)


def _read(what: str, text: str) -> Node | None:
    try:
        return parse(text)
    except BadQuery as exc:
        where = f", column {exc.column}" if what == "the filter" else ""
        raise WrongUse(f"{what}{where}: {exc.message}") from exc
