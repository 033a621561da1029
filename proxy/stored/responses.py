"""Answers what the Responses API gives back, where the upstream does not.

They run in a reader's thread, on a connection that only reads.
"""

from proxy.errors import NotFoundError
from proxy.reread import whole
from proxy.stitch.values import read_members
from proxy.stored import shapes
from proxy.stored.parameters import read_paging, refuse_all
from storage.assemble import Kept
from storage.queries.named import Shelf, name_of, newest
from storage.reading import Library
from storage.records import Json
from storage.verify import DAMAGE


def retrieved(
    library: Library, shelf: Shelf, name: str, query: bytes | None
) -> dict[str, Json]:
    """Return one stored response.

    Raises: `NotFoundError`; `ValueRefused` for a query that asks for more.
    """
    kept = found(library, shelf, name)
    refuse_all(query, including=True)
    answer = whole(kept)
    if answer is None:
        raise no_response(name)
    return {**answer, "id": name_of(kept.row), "metadata": kept.row.tags}


def input_items(
    library: Library, shelf: Shelf, name: str, query: bytes | None
) -> dict[str, Json]:
    """Return a page of what a response was asked with, its last item first.

    Raises: `NotFoundError`, also where `after` names no item of it; `ValueRefused`.
    """
    kept = found(library, shelf, name)
    paging = read_paging(query, order="desc", including=True)
    items = shapes.input_items(name, read_members(kept.request))
    part = shapes.part_of(items, paging)
    if part is None:
        raise NotFoundError(f"No item found with id '{paging.after}'.")
    return shapes.envelope(part[0], more=part[1])


def found(library: Library, shelf: Shelf, name: str) -> Kept:
    """Return the response that an id names. Raises: `NotFoundError`."""
    row = newest(library.connection, name, shelf)
    if row is None:
        raise no_response(name)
    try:
        return library.whole(row)
    except DAMAGE:
        raise no_response(name) from None


def no_response(name: str) -> NotFoundError:
    """Return what is told of an id that names nothing its caller may see."""
    return NotFoundError(f"Response with id '{name}' not found.")
