"""A filter and the projects that may be seen, as conditions while they are asked."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import orjson
from sqlalchemy import func, literal, select

from storage.errors import BadQuery
from storage.index.documents import documents
from storage.queries.content import NOTHING, Contents, Reader, Said
from storage.queries.predicate import Condition, predicate, reads_content
from storage.queries.tree import Node
from storage.reading import Library
from storage.tables import exchanges


def of_projects(projects: frozenset[str]) -> Condition:
    """Return what is true of the rows of these fingerprints."""
    given = func.json_each(literal(orjson.dumps(sorted(projects)).decode()))
    names = select(given.table_valued("value").c.value)
    return exchanges.c.project.in_(names)


@contextmanager
def asking(library: Library, query: Node | None, read: Reader | None) -> Iterator[None]:
    """Let the predicate of a filter be asked of a library inside the block.

    Shapes: `read` tells what an exchange says, for filters of its text.
    Raises: `BadQuery` for such a filter without `read`.
    """
    if not reads_content(query):
        yield
        return
    if read is None:
        raise BadQuery("the text of exchanges cannot be searched here", 1)
    reader = read

    def tell(seq: int) -> Said:
        found = documents(library.connection, reader, seq, seq + 1)
        return next((one.said for one in found if one.said), NOTHING)

    with closing(Contents(library, tell)):
        yield


@contextmanager
def condition(
    library: Library,
    query: Node | None,
    *,
    projects: frozenset[str] | None,
    read: Reader | None,
) -> Iterator[Condition | None]:
    """Have a condition on rows that can be asked of a library inside the block.

    Shapes: None lets all through.
    Raises: as `asking`.
    """
    with asking(library, query, read):
        wanted = None if query is None else predicate(query)
        if projects is None:
            yield wanted
            return
        seen = of_projects(projects)
        yield seen if wanted is None else seen & wanted
